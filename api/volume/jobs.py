"""Background work on volumes and snapshots: a row's status says what is to be done, so a restart goes on with it."""

import threading
from collections import OrderedDict, deque
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
COPIES_AT_ONCE, OF_ONE_PROJECT = 3, 2
QUICK = ("deleting", "extending")
SWEEP_S = 15.0
log = logs.get(__name__)


class Jobs:
    """At most one thread works on an object, until its status is at rest.

    Copies, downloads and uploads: three at once, two of one project, and projects take turns, so that no tenant waits
    for all of another's. What is short (blank volumes, deletes, growth) has threads of its own."""

    def __init__(self, db: Database, work: Work) -> None:
        self._db, self._work = db, work
        self._slow = ThreadPoolExecutor(COPIES_AT_ONCE, thread_name_prefix="volume-copy")
        self._quick = ThreadPoolExecutor(2, thread_name_prefix="volume-quick")
        self._mutex = threading.Lock()
        self._sweeper = threading.Thread(target=self._sweep, name="volume-sweep", daemon=True)
        self._busy: dict[Key, bool] = {}  # value: look at the status once more when done
        self._waiting: OrderedDict[str, deque[Key]] = OrderedDict()
        self._running: dict[str, int] = {}

    def submit(self, kind: Kind, object_id: str, project: str | None = None) -> None:
        """See to it that the object's status comes to rest. Call it after the status is committed.

        `project`: whose turn a copy takes; None for what is short."""
        key = (kind, object_id)
        with self._mutex:
            if self._work.stopping.is_set():
                return
            if key in self._busy:
                self._busy[key] = True
                return
            self._busy[key] = False
            if project is None:
                self._quick.submit(self._settle, key)
            else:
                self._waiting.setdefault(project, deque()).append(key)
                self._start_copies()

    def _start_copies(self) -> None:
        """Begin what may begin now; holds the mutex."""
        while sum(self._running.values()) < COPIES_AT_ONCE and not self._work.stopping.is_set():
            project = next((p for p in self._waiting if self._running.get(p, 0) < OF_ONE_PROJECT), None)
            if project is None:
                return
            key = self._waiting[project].popleft()
            self._waiting.move_to_end(project)
            if not self._waiting[project]:
                del self._waiting[project]
            self._running[project] = self._running.get(project, 0) + 1
            self._slow.submit(self._copy, key, project)

    def _copy(self, key: Key, project: str) -> None:
        try:
            self._settle(key)
        finally:
            with self._mutex:
                self._running[project] -= 1
                if not self._running[project]:
                    del self._running[project]
                self._start_copies()

    def resume(self) -> None:
        """Go on with everything that a previous process left unfinished."""
        with self._db.read() as session:
            volumes = session.exec(select(Volume).where(col(Volume.status).in_(WORKING))).all()
            snapshots = session.exec(select(Snapshot).where(col(Snapshot.status).in_(WORKING))).all()
        for snapshot in snapshots:
            self.submit("snapshot", snapshot.id, None if snapshot.status in QUICK else snapshot.project_id)
        for volume in volumes:
            self.submit("volume", volume.id, None if volume.status in QUICK else volume.project_id)

    def start(self) -> None:
        """Resume now, and again every `SWEEP_S` seconds, for work that ended because its store was not there."""
        self.resume()
        self._sweeper.start()

    def _sweep(self) -> None:
        failing = False
        while not self._work.stopping.wait(SWEEP_S):
            try:
                self._work.tidy()
                self.resume()
                failing = False
            except Exception as error:
                log.error("sweep failed", error=str(error)[:400], exc_info=None if failing else error)
                failing = True

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
