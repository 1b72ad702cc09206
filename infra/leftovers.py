"""Frees what the other services hold for an instance whose host is gone: by the control worker's own service user."""

from keystoneauth1.session import Session

from infra.contracts.instance import DeletePlan
from infra.contracts.network import PortRequest, PortsOnHost
from infra.contracts.volume import VolumesOnHost
from infra.host.network.ports import PortPlugger
from infra.host.services.volumes import VolumeConnector
from infra.settings import Settings


class Leftovers:
    def __init__(self, settings: Settings, session: Session) -> None:
        self._ports = PortPlugger(settings, session, None, fenced=False)
        self._volumes = VolumeConnector(settings, session, fenced=False)

    def release(self, plan: DeletePlan) -> None:
        ports = [PortRequest(port_id=port, mine=mine) for port, mine in plan.port_ids.items()]
        if ports:
            wanted = PortsOnHost(
                instance_id=plan.instance_id, project_id=plan.project_id, hostname=plan.name, ports=ports
            )
            self._ports.unplug(wanted, lambda *_: None)
        if plan.volumes:
            held = VolumesOnHost(
                instance_id=plan.instance_id, project_id=plan.project_id, volumes=plan.volumes, deleting=not plan.failed
            )
            self._volumes.detach(held, lambda *_: None)
