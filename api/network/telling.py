"""Tells the compute service of servers' ports, behind the answers to whoever changed them."""

import threading
import time

from api.common.telling import PAUSE_S, TRIES, Compute, Event
from infra import logs

log = logs.get(__name__)
AT_ONCE = 50
"""Events in one request; the compute service begins an operation for each."""


class Telling:
    """Events of one server are told in the order in which they came, and what a server's operation is in the way of is
    told again for some seconds, behind what came meanwhile. What is lost here, the compute service's own look finds."""

    def __init__(self, compute: Compute) -> None:
        self._compute = compute
        self._news = threading.Condition()
        self._waiting: list[tuple[float, int, Event]] = []  # (not before, tries so far, event)
        self._thread: threading.Thread | None = None

    def tell(self, events: list[Event]) -> None:
        """From any thread; returns at once."""
        if not events:
            return
        with self._news:
            known = {event for _, _, event in self._waiting}
            self._waiting += [(0.0, 0, event) for event in events if event not in known]
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="telling", daemon=True)
                self._thread.start()
            self._news.notify()

    def _run(self) -> None:
        while True:
            due = self._due()
            try:
                again = set(self._compute.once([event for _, event in due]))
            except Exception:  # an answer that is none: this thread must outlive it
                log.warning("compute not told", exc_info=True)
                again = {event for _, event in due}
            with self._news:
                self._waiting += [
                    (time.monotonic() + PAUSE_S * 2 ** (tries + 1), tries + 1, event)
                    for tries, event in due
                    if event in again and tries + 1 < TRIES
                ]

    def _due(self) -> list[tuple[int, Event]]:
        """Some whose time has come, all of one name."""
        with self._news:
            while True:
                now = time.monotonic()
                first = next((one for one in self._waiting if one[0] <= now), None)
                if first is not None:
                    break
                self._news.wait(min((one[0] - now for one in self._waiting), default=None))
            some = [one for one in self._waiting if one[0] <= now and one[2].name == first[2].name][:AT_ONCE]
            self._waiting = [one for one in self._waiting if one not in some]
            return [(tries, event) for _, tries, event in some]
