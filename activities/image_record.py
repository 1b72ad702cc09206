"""Images that operations make, as the image service knows them: made, dropped, rotated. Runs on the control worker."""

from datetime import timedelta
from typing import TYPE_CHECKING

from temporalio import activity

from activities.step import Where, step
from infra.contracts.snapshot import ImageRef, ImageToBe, Rotation, VolumeSnapshots
from infra.host.heartbeats import beating

if TYPE_CHECKING:
    from infra.host.services.glance import Images
    from infra.host.services.volume_snapshots import SnapshotClient


class ImageRecord:
    def __init__(self, images: "Images", snapshots: "SnapshotClient") -> None:
        self._images, self._snapshots = images, snapshots

    @step(on=Where.CONTROL, budget=timedelta(minutes=2), tries=0)
    def create_image(self, want: ImageToBe) -> None:
        """The image's record, still without data, under its chosen id and in the project's name.

        Idempotent by that id. Raises Hopeless with the image service's words when it refuses (403, 413 over quota)."""
        with beating(activity.heartbeat):
            self._images.ensure(want)

    @step(on=Where.CONTROL, budget=timedelta(minutes=2), tries=0)
    def drop_image(self, want: ImageRef) -> None:
        """Undo of `create_image`: the image goes, unless it has become active; that of a shelved server goes in any
        case. Absent is success."""
        with beating(activity.heartbeat):
            self._images.drop(want.image_id)

    @step(on=Where.CONTROL, budget=timedelta(minutes=2), tries=0)
    def require_image(self, want: ImageRef) -> None:
        """Whether the image has all its data: only then what it was made of may go. Reads only; Hopeless else."""
        with beating(activity.heartbeat):
            self._images.require(want.image_id)

    @step(on=Where.CONTROL, budget=timedelta(minutes=2), tries=0)
    def fill_empty_image(self, want: ImageToBe) -> None:
        """Make an image active whose properties point to snapshots of volumes. Active already is success; Hopeless
        (404) when it is gone."""
        with beating(activity.heartbeat):
            self._images.fill_empty(want.image_id)

    @step(on=Where.CONTROL, budget=timedelta(minutes=1), tries=0)
    def require_snapshot_room(self, want: VolumeSnapshots) -> None:
        """Whether the project may have so many more snapshots. Reads only; Hopeless (403) over quota."""
        with beating(activity.heartbeat):
            self._snapshots.require_room(want)

    @step(on=Where.CONTROL, budget=timedelta(minutes=30), tries=0)
    def snapshot_volumes(self, want: VolumeSnapshots) -> None:
        """Have the volume service make a snapshot of each volume, and wait for them.

        Idempotent by their ids, which follow from the image's. Raises Hopeless in the volume service's words."""
        with beating(activity.heartbeat):
            self._snapshots.make(want)

    @step(on=Where.CONTROL, budget=timedelta(minutes=5), tries=0)
    def drop_volume_snapshots(self, want: VolumeSnapshots) -> None:
        """Delete the snapshots that an image was to point to, unless it has become active. Absent is success."""
        with beating(activity.heartbeat):
            if not self._images.is_active(want.image_id):
                for each in want.volumes:
                    self._snapshots.drop(each)

    @step(on=Where.CONTROL, budget=timedelta(minutes=5), tries=0)
    def rotate_backups(self, want: Rotation) -> None:
        """Delete the oldest backups of a server beyond those to keep. Safe to repeat."""
        with beating(activity.heartbeat):
            self._images.rotate(want)
