"""Volumes of an instance: made where asked, attached, connected to the host (seed steps 26-28)."""

from datetime import timedelta
from typing import TYPE_CHECKING

from temporalio import activity

from activities.step import step
from infra.contracts.volume import Attached, VolumesOnHost

if TYPE_CHECKING:
    from infra.host.services.volumes import VolumeConnector


class Volume:
    """Runs on the queue of the chosen host."""

    def __init__(self, connector: "VolumeConnector") -> None:
        self._connector = connector

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
