"""What other services hold for an instance, from the control worker's side and by its own service user: reserved before
the instance has a host, freed when its host is gone."""

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

    def reserve(self, plan: DeletePlan) -> None:
        if plan.port_ids:
            self._ports.reserve(_ports(plan))
        if plan.volumes:
            self._volumes.reserve(_volumes(plan))

    def release(self, plan: DeletePlan) -> None:
        if plan.port_ids:
            self._ports.unplug(_ports(plan), lambda *_: None)
        if plan.volumes:
            self._volumes.detach(_volumes(plan), lambda *_: None)


def _ports(plan: DeletePlan) -> PortsOnHost:
    ports = [PortRequest(port_id=port, mine=mine) for port, mine in plan.port_ids.items()]
    return PortsOnHost(instance_id=plan.instance_id, project_id=plan.project_id, hostname=plan.name, ports=ports)


def _volumes(plan: DeletePlan) -> VolumesOnHost:
    return VolumesOnHost(
        instance_id=plan.instance_id, project_id=plan.project_id, volumes=plan.volumes, deleting=not plan.failed
    )
