"""What other services hold for an instance, from the control worker's side: reserved before it has a host, freed when
its host cannot be asked."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from temporalio import activity

from activities.step import Where, step
from infra.contracts.errors import NeighbourAway, hopeless
from infra.contracts.instance import DeletePlan
from infra.contracts.network import PortAddresses, PortRequest, PortsHeld, PortsOnHost
from infra.contracts.volume import VolumeHeld, VolumeMark, VolumeReimage, VolumeSeen, VolumesOnHost
from infra.host.heartbeats import Heartbeat, beating

if TYPE_CHECKING:
    from infra.host.network.ports import PortPlugger
    from infra.host.services.volumes import VolumeConnector

RESERVE_TRIES = 6


@contextmanager
def answering(heartbeat: Heartbeat) -> Iterator[None]:
    """A step that somebody waits for: after some tries a service that stays away is a refusal (503)."""
    try:
        with beating(heartbeat):
            yield
    except NeighbourAway as error:
        if activity.info().attempt < RESERVE_TRIES:
            raise
        raise hopeless(str(error), code=503) from None


class Services:
    """`ports` and `volumes` act by the compute service's own user, on no host."""

    def __init__(self, ports: "PortPlugger", volumes: "VolumeConnector") -> None:
        self._ports, self._volumes = ports, volumes

    @step(on=Where.CONTROL, budget=timedelta(minutes=1), tries=0)
    def reserve_named(self, plan: DeletePlan) -> None:
        """Take the ports and volumes that the tenant named for the instance, before its request is accepted.

        Idempotent: what is the instance's already stays. Raises Hopeless in Nova's words: 409 for a port, 400 for a
        volume that another server has; 503 when a service stays away, since somebody waits for the answer. Undone by
        `release_services`, which gives back only what is the instance's."""
        with answering(activity.heartbeat):
            if plan.port_ids:
                self._ports.reserve(_ports(plan))
            if plan.volumes:
                self._volumes.reserve(_volumes(plan), complete=plan.in_use)

    @step(on=Where.CONTROL, budget=timedelta(minutes=1), tries=0)
    def look_at_ports(self, want: PortsHeld) -> PortAddresses:
        """The instance's ports as they are now. Reads only. What is not there is looked for twice."""
        with beating(activity.heartbeat):
            return self._ports.look(want)

    @step(on=Where.CONTROL, budget=timedelta(minutes=1), tries=0)
    def look_at_volume(self, want: VolumeHeld) -> VolumeSeen:
        """The size of a volume of the instance as it is now. Reads only. Raises Hopeless (404) when it is gone."""
        with beating(activity.heartbeat):
            return VolumeSeen(size_gb=self._volumes.size(want.volume_id))

    @step(on=Where.CONTROL, budget=timedelta(minutes=1), tries=0)
    def require_attachments(self, want: VolumesOnHost) -> None:
        """That the instance has its volumes still. Reads only. Raises Hopeless (409) when an attachment was ended."""
        with beating(activity.heartbeat):
            self._volumes.require(want)

    @step(on=Where.CONTROL, resource="volumes", budget=timedelta(hours=1), tries=0)
    def reimage_volume(self, want: VolumeReimage) -> None:
        """Write an image over a volume that the instance has reserved and no host reads: hosts may not.

        Safe to repeat while the guest is off: a volume that is being written is waited for, one that was is written
        again. Raises Hopeless when the volume service refuses it, or fails."""
        with beating(activity.heartbeat):
            self._volumes.reimage(want)

    @step(on=Where.CONTROL, budget=timedelta(minutes=1), tries=0)
    def mark_volume(self, want: VolumeMark) -> None:
        """Tell the volume service whether a volume made for the instance is to go with it. Any other has no mark, and
        is left alone. Writing it again changes nothing."""
        with answering(activity.heartbeat):
            self._volumes.mark(want, goes=want.goes)

    @step(on=Where.CONTROL, budget=timedelta(minutes=1), tries=0)
    def unmark_volume(self, want: VolumeMark) -> None:
        """Undo of `mark_volume`."""
        with beating(activity.heartbeat):
            self._volumes.mark(want, goes=want.went)

    @step(on=Where.CONTROL, budget=timedelta(minutes=5), tries=0)
    def release_services(self, plan: DeletePlan) -> None:
        """Delete or unbind the instance's ports, end its volume attachments. Absent is success."""
        with beating(activity.heartbeat):
            if plan.port_ids:
                self._ports.unplug(_ports(plan), activity.heartbeat)
            if plan.volumes:
                self._volumes.detach(_volumes(plan), activity.heartbeat)


def _ports(plan: DeletePlan) -> PortsOnHost:
    ports = [PortRequest(port_id=port, mine=mine) for port, mine in plan.port_ids.items()]
    return PortsOnHost(instance_id=plan.instance_id, project_id=plan.project_id, hostname=plan.name, ports=ports)


def _volumes(plan: DeletePlan) -> VolumesOnHost:
    return VolumesOnHost(
        instance_id=plan.instance_id, project_id=plan.project_id, volumes=plan.volumes, deleting=not plan.failed
    )
