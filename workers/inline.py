"""Workflow code in the thread of the event loop, watched by another: two changes of threads less for each activation.

The SDK runs an activation, which takes less than a millisecond, in a thread, so that the loop sees when one never comes
back. Here a thread of its own looks once a second: what has run for two is interrupted, and its workflow task fails, as
the SDK has it; what cannot be interrupted ends the process, which is started anew."""

import asyncio
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from temporalio.bridge.runtime import Runtime

from infra import logs

LOOKS_EVERY_S = 1.0
INTERRUPTED_AFTER, ENDED_AFTER = 2, 30
"""Looks that find the same activation at work. Looks, not seconds: a process that was stopped meanwhile made none."""
log = logs.get(__name__)


class Stuck(RuntimeError):
    """An activation did not come back: the workflow task fails, and is tried again."""


class _Interrupt(BaseException):
    """Raised in workflow code that does not come back."""


class Inline(ThreadPoolExecutor):
    """What is submitted runs at once, in the thread that submits it, which has the event loop. Has no threads."""

    def __init__(self, end: Callable[[int], Any] = os._exit) -> None:
        super().__init__(1)
        self._guard = threading.Lock()
        self._number = 0  # of the activation at work, or of the last one
        self._at_work = self._interrupted = False
        self._thread, self._end = 0, end
        threading.Thread(target=self._watch, name="workflow-watch", daemon=True).start()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """A future of this loop, that is done."""
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        with self._guard:
            self._number += 1
            self._at_work, self._interrupted, self._thread = True, False, threading.get_ident()
        try:
            done.set_result(fn(*args, **kwargs))
        except BaseException as error:
            self._is_over()
            done = loop.create_future()
            done.set_exception(error if isinstance(error, Exception) else Stuck(repr(error)))
        self._is_over()
        asyncio._set_running_loop(loop)  # workflow code has a loop of its own, and leaves none behind
        if self._interrupted:  # whatever came of it: a task takes the interrupt for its own end
            done = loop.create_future()
            done.set_exception(Stuck("Workflow code did not yield within two seconds, and was interrupted."))
        return done

    def _is_over(self) -> None:
        with self._guard:
            self._at_work = False

    def _watch(self) -> None:
        last, seen = 0, 0
        while True:
            time.sleep(LOOKS_EVERY_S)
            with self._guard:
                seen = seen + 1 if self._at_work and self._number == last else 0
                last = self._number
                if seen >= INTERRUPTED_AFTER:
                    self._interrupted = True
                    Runtime._raise_in_thread(self._thread, _Interrupt)
            if seen == INTERRUPTED_AFTER:
                log.error("workflow code does not yield; it is interrupted")
            if seen >= ENDED_AFTER:
                log.error("workflow code cannot be interrupted; the worker ends")
                self._end(1)
