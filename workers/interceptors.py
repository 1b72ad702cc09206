"""Around every step: what it tells about itself, one step at a time per instance, logs that name both."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import structlog
from temporalio import activity
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from activities.step import Done
from infra import logs

log = logs.get(__name__)


class StepInterceptor(Interceptor):
    """Fills in `Done` results: host, attempt, start and end."""

    def __init__(self, host: str) -> None:
        self.host = host

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        return _Step(next, self.host)


class _Step(ActivityInboundInterceptor):
    def __init__(self, next: ActivityInboundInterceptor, host: str) -> None:
        super().__init__(next)
        self._host = host

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        info = activity.info()
        instance_id = getattr(input.args[0], "instance_id", None) if input.args else None
        structlog.contextvars.bind_contextvars(step=info.activity_type, instance_id=instance_id, attempt=info.attempt)
        started, begun = datetime.now(UTC), time.perf_counter()
        try:
            result = await super().execute_activity(input)
        except Exception as error:
            log.warning("step failed", error=str(error), ms=round((time.perf_counter() - begun) * 1000, 1))
            raise
        if isinstance(result, Done):
            result.host, result.attempt = self._host, info.attempt
            result.started_at, result.finished_at = started, datetime.now(UTC)
        return result


class InstanceLocks:
    """One lock per instance: a step that was given up but still runs never overlaps with its repeat or its undo."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._locks: dict[str, tuple[threading.Lock, int]] = {}

    @contextmanager
    def hold(self, key: str, heartbeat: Any = lambda *_: None) -> Iterator[None]:
        """Hold `key`'s lock; `heartbeat` is called every second of the wait."""
        with self._guard:
            lock, users = self._locks.get(key, (threading.Lock(), 0))
            self._locks[key] = (lock, users + 1)
        try:
            while not lock.acquire(timeout=1.0):
                heartbeat()
            try:
                yield
            finally:
                lock.release()
        finally:
            with self._guard:
                lock, users = self._locks[key]
                if users == 1:
                    del self._locks[key]
                else:
                    self._locks[key] = (lock, users - 1)
