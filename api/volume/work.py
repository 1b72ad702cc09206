"""What is done to an object in the background until its status is at rest; each piece may run again after a crash."""

import errno
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from sqlmodel import col, select

from api.volume.building import Building, Stop
from api.volume.changing import Changing
from api.volume.files import Cancelled, Files, Unusable
from api.volume.reserve import Reserve
from api.volume.tools import TimedOut
from infra import logs
from infra.database import Database
from infra.nbd import QmpError, QmpUnreachable
from infra.tables.volume import Snapshot, Volume, now

WORKING = ("creating", "downloading", "deleting", "extending", "uploading", "reverting")
Row = TypeVar("Row", Volume, Snapshot)
log = logs.get(__name__)


class Work:
    """Builds, changes and removes volumes and snapshots. `stopping` ends everything at the next safe point."""

    def __init__(self, db: Database, files: Files, building: Building, changing: Changing, reserve: Reserve) -> None:
        self._db, self._files, self._building, self._changing = db, files, building, changing
        self._reserve = reserve
        self.stopping = threading.Event()
        self._doomed: set[str] = set()

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
        if row.status == "deleting":
            self._remove_volume(row)
        elif row.status in ("creating", "downloading") and row.task is None:
            self._guarded(row, self._build)
        elif row.status in WORKING:
            self._change(row)

    def snapshot(self, snapshot_id: str) -> None:
        with self._db.read() as session:
            row = session.get(Snapshot, snapshot_id)
        if row is None:
            return
        if row.status == "creating":
            self._guarded(row, self._building.snapshot)
        elif row.status == "deleting":
            self._remove(row)

    def _build(self, row: Volume, stop: Stop) -> None:
        if row.image_id:
            with self._db.write() as session:
                stored = session.get(Volume, row.id, with_for_update=True)
                if stored is None or stored.status == "deleting":
                    raise Cancelled
                stored.status, stored.updated_at = "downloading", now()
        self._building.volume(row, stop)

    def _change(self, row: Volume) -> None:
        """What was asked of a volume that exists. A change that fails says so; the volume's bytes are as they were."""
        stop = self._stop(row.id)
        try:
            self._changing.do(row, stop)
        except Cancelled:
            self._files.remove_parts(row.id)
            raise
        except Exception as error:
            self._files.remove_parts(row.id)
            if stop():
                raise Cancelled from error
            log.warning("change failed", id=row.id, status=row.status, error=str(error), exc_info=_odd(error))
            self._changing.give_up(row, words(error))

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
            log.warning("build failed", id=row.id, error=str(error), exc_info=_odd(error))
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

    def _remove_volume(self, row: Volume) -> None:
        with self._db.read() as session:
            snapshots = session.exec(select(Snapshot).where(Snapshot.volume_id == row.id)).all()
        for snapshot in snapshots:
            self._remove(snapshot)
        self._remove(row)

    def _remove(self, row: Volume | Snapshot) -> None:
        """The file first, then the row: a row without a file is finished by the next run, never the other way."""
        self._reserve.freeing(lambda: self._files.remove(row.id))
        self._reserve.freeing(lambda: self._forget(row))
        self._doomed.discard(row.id)

    def _forget(self, row: Volume | Snapshot) -> None:
        with self._db.write() as session:
            if stored := session.get(type(row), row.id, with_for_update=True):
                session.delete(stored)

    def tidy(self) -> None:
        """From time to time: take the reserve again when there is room; free snapshots whose volume is no longer being
        reverted, since an administrator reset it."""
        self._reserve.refill()
        with self._db.write() as session:
            reverting = select(Volume.id).where(Volume.status == "reverting")
            left = select(Snapshot).where(Snapshot.status == "restoring", col(Snapshot.volume_id).not_in(reverting))
            for snapshot in session.exec(left).all():
                snapshot.status, snapshot.updated_at = "available", now()


def _odd(error: Exception) -> bool:
    """Whether the log should have the whole trace."""
    return not isinstance(error, Unusable | OSError)


def words(error: Exception) -> str:
    """Why the work failed, for the owner of the volume."""
    if isinstance(error, Unusable):
        return str(error)
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    if full or (isinstance(error, QmpError) and "No space left" in str(error)):
        return "There is no space left on the volume store."
    if isinstance(error, QmpUnreachable):
        return "The storage daemon did not answer in time."
    if isinstance(error, TimedOut):
        return "The copy took longer than its limit."
    if isinstance(error, FileNotFoundError):
        return "The source no longer exists."
    return "The volume could not be made; the service's log says why."
