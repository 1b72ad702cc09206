"""The bytes of an image that is made from a volume: copied, converted, sent; again after a crash, or taken back."""

import time
from pathlib import Path
from typing import Any

from api.common.context import Context
from api.volume.building import Building, Stop
from api.volume.files import MADE, Files, Unusable, copy_limit
from api.volume.images import BrokenTransfer, Images
from infra.tables.volume import Volume

TRIES = 3
SAVING_S = 30.0  # how long the image service may take to notice that an earlier upload was cut


class Uploads:
    def __init__(self, files: Files, building: Building, images: Images) -> None:
        self._files, self._building, self._images = files, building, images
        self._askers: dict[str, Context] = {}

    def begun(self, volume_id: str, asker: Context) -> None:
        """Remember, in memory only, with whose token the image can be taken back."""
        self._askers[volume_id] = asker

    def do(self, row: Volume, in_use: bool, stop: Stop) -> None:
        """Returns when the image is active. Raises Unusable when it is gone or cannot be filled any more."""
        task: dict[str, Any] = row.task or {}
        image_id, form = str(task.get("image_id")), MADE[str(task.get("disk_format", "raw"))]
        late = time.monotonic() + copy_limit(row.size)
        for _ in range(TRIES):
            status = self._settled(image_id, stop)
            if status == "active":
                self._askers.pop(row.id, None)
                return
            if status != "queued":
                raise Unusable(f"The image is {status}.")
            try:
                source = self._source(row, form, in_use, stop)
                self._images.send(image_id, source, lambda: stop() or time.monotonic() > late)
                self._askers.pop(row.id, None)
                return
            except BrokenTransfer:
                continue
            finally:
                self._files.remove_parts(row.id)
        raise Unusable("The image's data could not be sent to the image service.")

    def _settled(self, image_id: str, stop: Stop) -> str:
        """The image's status; `saving` is the end of an upload that was cut, for as long as it takes."""
        end = time.monotonic() + SAVING_S
        while True:
            try:
                status = self._images.status(image_id)
            except BrokenTransfer:
                status = "not known, since the image service does not answer"
            if status in ("queued", "active", "deleted") or stop() or time.monotonic() > end:
                return status
            time.sleep(0.5)

    def _source(self, row: Volume, form: str, in_use: bool, stop: Stop) -> Path:
        """The volume's own file when nobody writes and it needs no other format, else an unfinished file beside it."""
        volume = self._files.volume(row.id)
        if not in_use and form == "raw":
            return volume
        source, source_format = volume, "raw"
        if in_use:
            source, source_format = self._building.copy(row.id, row.id, row.size, stop), "qcow2"
        target = self._files.part(self._files.root / f"{row.id}.upload")
        limit = copy_limit(row.size)
        self._files.convert(source, source_format, target, form, self._building.careful(stop), limit)
        if source != volume:
            source.unlink()
        return target

    def forget(self, row: Volume) -> None:
        """An image that will not be filled does not stay `queued`, as long as its owner's token is at hand."""
        image_id, asker = (row.task or {}).get("image_id"), self._askers.pop(row.id, None)
        if image_id and asker:
            self._images.delete(asker, str(image_id))
