"""How a volume or a snapshot gets its bytes: from an image, a snapshot, another volume, or none."""

import hashlib
import threading
import time
from collections.abc import Callable
from pathlib import Path

from api.volume.files import GIB, Cancelled, Files, Unusable, copy_limit, probe
from api.volume.images import Images, unfit
from api.volume.reserve import Reserve
from infra.nbd import QmpUnreachable, StorageDaemon
from infra.tables.volume import Snapshot, Volume

DAEMON_PATIENCE_S = 60.0
Stop = Callable[[], bool]


class NoRoom(OSError):
    """The store has no more than its reserve."""

    def __init__(self) -> None:
        super().__init__(28, "No space left on the volume store")


class Building:
    """Writes files under their unfinished names, then gives them their own. Each may run again after a crash."""

    def __init__(self, files: Files, daemon: StorageDaemon, images: Images, reserve: Reserve) -> None:
        self._files, self._daemon, self._images, self._reserve = files, daemon, images, reserve
        self._sources = [threading.Lock() for _ in range(32)]

    def lock(self, volume_id: str) -> threading.Lock:
        """Held while a copy of the volume is made, or its exports change: one after the other."""
        digest = hashlib.sha256(volume_id.encode()).digest()
        return self._sources[digest[0] % len(self._sources)]

    def careful(self, stop: Stop) -> Stop:
        """`stop`, and NoRoom as soon as the disk has no more than the reserve."""

        def check() -> bool:
            if self._reserve.low():
                raise NoRoom
            return stop()

        return check

    def volume(self, row: Volume, stop: Stop) -> None:
        path = self._files.volume(row.id)
        if path.exists():
            return
        limit = copy_limit(row.size)
        if row.image_id:
            self.from_image(row, row.image_id, stop)
        elif row.snapshot_id:
            source = self._files.snapshot(row.snapshot_id)
            self._files.to_raw(source, "qcow2", path, self.careful(stop), limit)
            self._files.finish(path, row.size)
        elif row.source_volid:
            copy = self.copy(row.source_volid, row.id, row.size, stop)
            self._files.to_raw(copy, "qcow2", path, self.careful(stop), limit)
            self._files.finish(path, row.size)
            copy.unlink()
        else:
            self._files.blank(path, row.size)

    def from_image(self, row: Volume, image_id: str, stop: Stop) -> None:
        """Download, inspect, convert; what was there under the volume's name is replaced in one moment."""
        path, check = self._files.volume(row.id), self.careful(stop)
        source = self._files.part(self._files.root / f"{row.id}.image")
        image = self._images.download(image_id, source, check, time.monotonic() + copy_limit(row.size))
        found = probe(source)
        problem = unfit({**image, "virtual_size": found.virtual_bytes}, row.size)
        if problem:
            raise Unusable(problem)
        if found.format == "raw":
            source.replace(self._files.part(path))
        else:
            self._files.to_raw(source, found.format, path, check, copy_limit(row.size))
            source.unlink()
        self._files.finish(path, row.size)

    def snapshot(self, row: Snapshot, stop: Stop) -> None:
        path = self._files.snapshot(row.id)
        if not path.exists():
            self.copy(row.volume_id, row.id, row.size, stop)
            self._files.finish(path)

    def revert(self, row: Volume, snapshot_id: str, stop: Stop) -> None:
        """The snapshot's bytes under the volume's name; nobody has the volume meanwhile."""
        path = self._files.volume(row.id)
        source = self._files.snapshot(snapshot_id)
        self._files.to_raw(source, "qcow2", path, self.careful(stop), copy_limit(row.size))
        self._files.finish(path, row.size)

    def copy(self, volume_id: str, object_id: str, size_gib: int, stop: Stop) -> Path:
        """A copy of a volume as it is now, as an unfinished qcow2 file. Waits for the daemon where it must."""
        source, check = self._files.volume(volume_id), self.careful(stop)
        size = source.stat().st_size // GIB if source.exists() else size_gib
        end = time.monotonic() + DAEMON_PATIENCE_S
        late = time.monotonic() + copy_limit(size)
        while True:
            part = self._files.blank_qcow2(self._files.snapshot(object_id), size)
            try:
                with self.lock(volume_id):
                    self._daemon.copy(volume_id, source, part, lambda: check() or time.monotonic() > late)
                return part
            except QmpUnreachable:
                if time.monotonic() > end:
                    raise
                if stop():
                    raise Cancelled from None
                time.sleep(0.5)
