"""The data of an image that is made of a server's disk: copied on the host, sent to the image service from there."""

from datetime import timedelta
from typing import TYPE_CHECKING

from temporalio import activity

from activities.step import step
from infra.contracts.snapshot import SnapshotOnHost, Uploaded

if TYPE_CHECKING:
    from infra.host.snapshots import Snapshots


class Snapshot:
    """Runs on the queue of the server's host."""

    def __init__(self, snapshots: "Snapshots") -> None:
        self._snapshots = snapshots

    @step(resource="domain", heavy=True, budget=timedelta(hours=2))
    def take_snapshot(self, want: SnapshotOnHost) -> Uploaded:
        """Copy the root disk as it is at one moment into a file beside it; the guest goes on.

        Idempotent by the image's id: a copy that is complete stays, one that broke off is begun anew. Raises HostCannot
        when this host has lost the server or its disk is full."""
        return self._snapshots.take(want, activity.heartbeat)

    @step(resource="disk", budget=timedelta(minutes=5))
    def remove_snapshot(self, want: SnapshotOnHost) -> None:
        """Undo of `take_snapshot`, and its end: the copy goes. Absent is success."""
        self._snapshots.remove(want)

    @step(resource="image", budget=timedelta(hours=2))
    def upload_snapshot(self, want: SnapshotOnHost) -> Uploaded:
        """Send the copy to the image service, which makes the image active when all of it is there.

        Idempotent: an active image is left alone. Raises Hopeless when the image is gone, or of another size."""
        return self._snapshots.upload(want, activity.heartbeat)
