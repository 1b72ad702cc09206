"""Volumes of an instance: made where asked, attached, connected to the host (seed steps 26-28)."""

from datetime import timedelta
from typing import TYPE_CHECKING

from temporalio import activity

from activities.step import step
from infra.contracts.step import Done
from infra.contracts.volume import Attached, VolumeOnGuest, VolumesOnHost

if TYPE_CHECKING:
    from infra.host.hotplug import VolumePlugger
    from infra.host.services.volumes import VolumeConnector


class Volume:
    """Runs on the queue of the chosen host."""

    def __init__(self, connector: "VolumeConnector", plugger: "VolumePlugger") -> None:
        self._connector, self._plugger = connector, plugger

    @step(resource="volumes", budget=timedelta(minutes=30))
    def attach_volumes(self, want: VolumesOnHost) -> Attached:
        """Create what is to be created, reserve each attachment, connect it to this host.

        Idempotent by the ids chosen beforehand. Raises Hopeless for a volume that is gone, in use or in error."""
        return self._connector.attach(want, activity.heartbeat)

    @step(resource="volumes", budget=timedelta(minutes=5))
    def detach_volumes(self, want: VolumesOnHost) -> None:
        """Undo of `attach_volumes`: attachments end; a volume made for this instance goes too (always when the build
        fails; by `delete_on_termination` when the server is deleted)."""
        self._connector.detach(want, activity.heartbeat)

    @step(resource="volumes", budget=timedelta(minutes=5))
    def part_volumes(self, want: VolumesOnHost) -> None:
        """Undo of `attach_volumes` for a server that keeps its volumes: each stays reserved for it, on no host."""
        self._connector.part(want, activity.heartbeat)

    @step(resource="volumes", budget=timedelta(minutes=30))
    def give_volume(self, want: VolumeOnGuest) -> Done:
        """Attach a volume that is there, connect it to this host, and put it into the guest, now if it runs, and
        whenever it starts.

        Safe to repeat: what is attached, or in the guest already, stays. Raises Hopeless for a volume that is gone, in
        use or in error, HostCannot when this host has lost the server."""
        return self._plugger.give(want, activity.heartbeat)

    @step(resource="volumes", budget=timedelta(minutes=10))
    def take_volume(self, want: VolumeOnGuest) -> Done:
        """Have the guest give the volume back, then end its attachment. Absent is success.

        A running guest is asked again for a minute; Hopeless (409) when it does not heed that, and for one that is
        paused, which cannot: then the attachment stays as well."""
        return self._plugger.take(want, activity.heartbeat)

    @step(resource="volumes", budget=timedelta(minutes=10))
    def take_volume_back(self, want: VolumeOnGuest) -> Done:
        """Undo of `give_volume`: as `take_volume`, but a guest that keeps the disk loses the attachment all the same,
        and the failure is told."""
        return self._plugger.take_back(want, activity.heartbeat)
