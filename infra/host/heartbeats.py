"""Heartbeats while an activity's own thread is busy: downloads, locks, libvirt, other services."""

import contextlib
import contextvars
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any, TypeVar

from infra.interruption import still_wanted

Heartbeat = Callable[..., None]
EVERY_S = 1.0
In = TypeVar("In")
Out = TypeVar("Out")


@contextlib.contextmanager
def beating(heartbeat: Heartbeat, details: Callable[[], tuple[Any, ...]] = tuple) -> Iterator[None]:
    """Call `heartbeat(*details())` every second until the block ends.

    Temporal delivers a cancel only with heartbeats. None is sent at the start, which Temporal has just been told of:
    it would cost a short step one more call, and a write in Temporal's store."""
    done = threading.Event()
    context = contextvars.copy_context()  # how temporalio knows which activity beats

    def beat() -> None:
        while not done.wait(EVERY_S):
            try:
                context.run(heartbeat, *details())
            except Exception:  # the activity is over already
                return

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()


def at_once(work: Callable[[In], Out], items: list[In], stop: threading.Event | None = None) -> list[Out]:
    """`work` of every item, in parallel; all have ended when the first failure is raised.

    A cancel is seen only here, in the step's own thread: `stop` passes it on to work that may take long."""
    if len(items) < 2:
        return [work(item) for item in items]
    with ThreadPoolExecutor(max_workers=min(8, len(items))) as pool:
        futures = [pool.submit(work, item) for item in items]
        try:
            while wait(futures, timeout=0.2).not_done:
                still_wanted()
        except BaseException:
            if stop:
                stop.set()
            raise
    return [future.result() for future in futures]


class Turns:
    """One at a time per instance: a step that was given up but still runs never overlaps with its repeat or undo.

    A cancel ends the wait; wait inside `beating`, or it is not heard of."""

    def __init__(self) -> None:
        self._guard = threading.Condition()
        self._busy: set[str] = set()

    @contextlib.contextmanager
    def take(self, instance_id: str) -> Iterator[None]:
        with self._guard:
            while instance_id in self._busy:
                self._guard.wait(0.5)
                still_wanted()
            self._busy.add(instance_id)
        try:
            yield
        finally:
            self._done(instance_id)

    @contextlib.contextmanager
    def take_if_free(self, instance_id: str) -> Iterator[bool]:
        """The turn, if nobody has it; whether it was had."""
        with self._guard:
            free = instance_id not in self._busy
            self._busy.add(instance_id)
        try:
            yield free
        finally:
            if free:
                self._done(instance_id)

    def _done(self, instance_id: str) -> None:
        with self._guard:
            self._busy.discard(instance_id)
            self._guard.notify_all()
