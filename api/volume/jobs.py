"""Background work on volumes and snapshots: a row's status says what is to be done, so a restart goes on with it."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

from sqlmodel import col, select

from api.volume.files import Cancelled
from api.volume.work import WORKING, Work
from infra import logs
from infra.database import Database
from infra.tables.volume import Snapshot, Volume

Kind = Literal["volume", "snapshot"]
Key = tuple[Kind, str]
COPIES_AT_ONCE = 2
SWEEP_S = 15.0
log = logs.get(__name__)


class Jobs:
    """At most one thread works on an object, until its status is at rest. Copies and downloads: two at once; what is
    short (blank volumes, deletes) has threads of its own, so that it never waits behind them."""

    def __init__(self, db: Database, work: Work) -> None:
        self._db, self._work = db, work
        self._slow = ThreadPoolExecutor(COPIES_AT_ONCE, thread_name_prefix="volume-copy")
        self._quick = ThreadPoolExecutor(2, thread_name_prefix="volume-quick")
        self._mutex = threading.Lock()
        self._sweeper = threading.Thread(target=self._sweep, name="volume-sweep", daemon=True)
        self._busy: dict[Key, bool] = {}  # value: look at the status once more when done

    def submit(self, kind: Kind, object_id: str, slow: bool = False) -> None:
        """See to it that the object's status comes to rest. Call it after the status is committed."""
        key = (kind, object_id)
        with self._mutex:
            if self._work.stopping.is_set():
                return
            if key in self._busy:
                self._busy[key] = True
                return
            self._busy[key] = False
        (self._slow if slow else self._quick).submit(self._settle, key)

    def resume(self) -> None:
        """Go on with everything that a previous process left unfinished."""
        with self._db.read() as session:
            volumes = session.exec(select(Volume).where(col(Volume.status).in_(WORKING))).all()
            snapshots = session.exec(select(Snapshot).where(col(Snapshot.status).in_(WORKING))).all()
        for snapshot in snapshots:
            self.submit("snapshot", snapshot.id, slow=snapshot.status == "creating")
        for volume in volumes:
            self.submit("volume", volume.id, slow=volume.status != "deleting")

    def start(self) -> None:
        """Resume now, and again every `SWEEP_S` seconds, for work that ended because its store was not there."""
        self.resume()
        self._sweeper.start()

    def _sweep(self) -> None:
        while not self._work.stopping.wait(SWEEP_S):
            try:
                self.resume()
            except Exception:
                log.exception("sweep failed")

    def close(self) -> None:
        """Stop at the next safe point. Statuses stay as they are: the next start resumes."""
        self._work.stopping.set()
        self._slow.shutdown(wait=True, cancel_futures=True)
        self._quick.shutdown(wait=True, cancel_futures=True)

    def _settle(self, key: Key) -> None:
        while True:
            try:
                if key[0] == "volume":
                    self._work.volume(key[1])
                else:
                    self._work.snapshot(key[1])
            except Cancelled:
                log.info("work stopped", kind=key[0], id=key[1])
            except Exception:
                log.exception("work failed", kind=key[0], id=key[1])
            with self._mutex:
                if not self._busy[key] or self._work.stopping.is_set():
                    del self._busy[key]
                    return
                self._busy[key] = False
