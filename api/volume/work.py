"""What is done to an object in the background until its status is at rest; each piece may run again after a crash."""

import errno
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from sqlmodel import select

from api.volume.files import GIB, Cancelled, Files, Unusable, probe
from api.volume.images import Images, unfit
from infra import logs
from infra.database import Database
from infra.nbd import QmpError, QmpUnreachable, StorageDaemon
from infra.tables.volume import Snapshot, Volume, now

WORKING = ("creating", "downloading", "deleting")
DAEMON_PATIENCE_S = 60.0
Stop = Callable[[], bool]
Row = TypeVar("Row", Volume, Snapshot)
log = logs.get(__name__)


class Work:
    """Builds and removes volumes and snapshots. `stopping` ends everything at the next safe point."""

    def __init__(self, db: Database, files: Files, daemon: StorageDaemon, images: Images) -> None:
        self._db, self._files, self._daemon, self._images = db, files, daemon, images
        self.stopping = threading.Event()
        self._doomed: set[str] = set()
        self._sources = [threading.Lock() for _ in range(32)]

    def doom(self, object_id: str) -> None:
        """Stop building this object: it is going to be deleted."""
        self._doomed.add(object_id)

    def _stop(self, object_id: str) -> Stop:
        return lambda: self.stopping.is_set() or object_id in self._doomed

    def volume(self, volume_id: str) -> None:
        with self._db.read() as session:
            row = session.get(Volume, volume_id)
        if row is None:
            return
        if row.status in ("creating", "downloading"):
            self._guarded(row, self._build_volume)
        elif row.status == "deleting":
            with self._db.read() as session:
                snapshots = session.exec(select(Snapshot).where(Snapshot.volume_id == volume_id)).all()
            for snapshot in snapshots:
                self._remove(snapshot)
            self._remove(row)

    def snapshot(self, snapshot_id: str) -> None:
        with self._db.read() as session:
            row = session.get(Snapshot, snapshot_id)
        if row is None:
            return
        if row.status == "creating":
            self._guarded(row, self._build_snapshot)
        elif row.status == "deleting":
            self._remove(row)

    def _guarded(self, row: Row, build: Callable[[Row, Stop], None]) -> None:
        try:
            build(row, self._stop(row.id))
        except Cancelled:
            self._files.remove_parts(row.id)
            raise
        except Exception as error:
            if self._stop(row.id)():
                self._files.remove_parts(row.id)
                raise Cancelled from error
            log.warning("build failed", id=row.id, error=str(error), exc_info=not isinstance(error, Unusable))
            self._files.remove(row.id)
            self._end(row, "error", words(error))
            return
        self._end(row, "available", None)

    def _end(self, row: Volume | Snapshot, status: str, fault: str | None) -> None:
        """Write the outcome, unless a delete came first."""
        with self._db.write() as session:
            kind: Any = type(row)
            stored: Volume | Snapshot | None = session.get(kind, row.id, with_for_update=True)
            if stored is None or stored.status not in ("creating", "downloading"):
                return
            stored.status, stored.fault, stored.updated_at = status, fault, now()

    def _remove(self, row: Volume | Snapshot) -> None:
        """The file first, then the row: a row without a file is finished by the next run, never the other way."""
        self._files.remove(row.id)
        with self._db.write() as session:
            if stored := session.get(type(row), row.id, with_for_update=True):
                session.delete(stored)
        self._doomed.discard(row.id)

    def _build_volume(self, row: Volume, stop: Stop) -> None:
        path = self._files.volume(row.id)
        if path.exists():
            return
        if row.image_id:
            self._from_image(row, stop)
        elif row.snapshot_id:
            self._files.to_raw(self._files.snapshot(row.snapshot_id), "qcow2", path, stop)
            self._files.finish(path, row.size)
        elif row.source_volid:
            copy = self._copy(row.source_volid, row.id, row.size, stop)
            self._files.to_raw(copy, "qcow2", path, stop)
            self._files.finish(path, row.size)
            copy.unlink()
        else:
            self._files.blank(path, row.size)

    def _from_image(self, row: Volume, stop: Stop) -> None:
        with self._db.write() as session:
            stored = session.get(Volume, row.id, with_for_update=True)
            if stored is None or stored.status == "deleting":
                raise Cancelled
            stored.status, stored.updated_at = "downloading", now()
        path = self._files.volume(row.id)
        source = self._files.part(self._files.root / f"{row.id}.image")
        image = self._images.download(str(row.image_id), source, stop)
        found = probe(source)
        problem = unfit({**image, "virtual_size": found.virtual_bytes}, row.size)
        if problem:
            raise Unusable(problem)
        if found.format == "raw":
            source.replace(self._files.part(path))
        else:
            self._files.to_raw(source, found.format, path, stop)
            source.unlink()
        self._files.finish(path, row.size)

    def _build_snapshot(self, row: Snapshot, stop: Stop) -> None:
        path = self._files.snapshot(row.id)
        if not path.exists():
            self._copy(row.volume_id, row.id, row.size, stop)
            self._files.finish(path)

    def _copy(self, volume_id: str, object_id: str, size_gib: int, stop: Stop) -> Path:
        """A copy of a volume as it is now, as an unfinished qcow2 file. Waits for the daemon where it must."""
        source = self._files.volume(volume_id)
        size = source.stat().st_size // GIB if source.exists() else size_gib
        end = time.monotonic() + DAEMON_PATIENCE_S
        while True:
            part = self._files.blank_qcow2(self._files.snapshot(object_id), size)
            try:
                with self._sources[hash(volume_id) % len(self._sources)]:
                    self._daemon.copy(volume_id, source, part, stop)
                return part
            except QmpUnreachable:
                if time.monotonic() > end:
                    raise
                if stop():
                    raise Cancelled from None
                time.sleep(0.5)


def words(error: Exception) -> str:
    """Why the work failed, for the owner of the volume."""
    if isinstance(error, Unusable):
        return str(error)
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    if full or (isinstance(error, QmpError) and "No space left" in str(error)):
        return "There is no space left on the volume store."
    if isinstance(error, QmpUnreachable):
        return "The storage daemon did not answer in time."
    if isinstance(error, FileNotFoundError):
        return "The source no longer exists."
    return "The volume could not be made; the service's log says why."
