"""Around every step: what it tells about itself, one step at a time per instance, logs that name both."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import Any

import structlog
from temporalio import activity
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from infra import logs
from infra.contracts.step import Done
from infra.interruption import still_wanted

log = logs.get(__name__)


RESOURCES = {
    "fetch_to_host": "disk",
    "remove_disk": "disk",
    "plug_ports": "ports",
    "unplug_ports": "ports",
    "attach_volumes": "volumes",
    "detach_volumes": "volumes",
    "spawn": "domain",
    "destroy": "domain",
}
"""A step and its undo never run at once for one instance, not even when the step was given up and still runs."""


class StepInterceptor(Interceptor):
    """Fills in `Done` results (host, attempt, start, end); serializes a resource's steps per instance.

    `failpoints` is a directory for chaos tests: a file `<step>.before` or `<step>.after` in it kills this process."""

    def __init__(self, host: str, failpoints: Path | None = None) -> None:
        self.host, self.failpoints = host, failpoints
        self.locks = InstanceLocks()

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        return _Step(next, self)

    def die_if_told(self, step: str, when: str) -> None:
        if self.failpoints is None:
            return
        try:
            (self.failpoints / f"{step}.{when}").unlink()
        except FileNotFoundError:
            return
        os.kill(os.getpid(), signal.SIGKILL)


class _Step(ActivityInboundInterceptor):
    def __init__(self, next: ActivityInboundInterceptor, around: StepInterceptor) -> None:
        super().__init__(next)
        self._around = around

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        info = activity.info()
        instance_id = getattr(input.args[0], "instance_id", None) if input.args else None
        structlog.contextvars.bind_contextvars(step=info.activity_type, instance_id=instance_id, attempt=info.attempt)
        if info.is_local and info.attempt > 1:  # those of hosts are known to the workflow
            retries = activity.metric_meter().create_counter(
                "kilonova_step_retries_total", "Tries of steps beyond the first"
            )
            retries.add(1, {"step": info.activity_type})
        started, begun = datetime.now(UTC), time.perf_counter()
        resource = RESOURCES.get(info.activity_type)
        if resource and instance_id:
            input.fn = self._alone(input.fn, f"{instance_id}/{resource}")
        self._around.die_if_told(info.activity_type, "before")
        try:
            result = await super().execute_activity(input)
            self._around.die_if_told(info.activity_type, "after")
        except Exception as error:
            log.warning("step failed", error=str(error), ms=round((time.perf_counter() - begun) * 1000, 1))
            raise
        if isinstance(result, Done):
            result.host, result.attempt = self._around.host, info.attempt
            result.started_at, result.finished_at = started, datetime.now(UTC)
        return result

    def _alone(self, step: Callable[..., Any], key: str) -> Callable[..., Any]:
        @wraps(step)
        def run(*args: Any) -> Any:
            with self._around.locks.hold(key, activity.heartbeat):
                return step(*args)

        return run


class InstanceLocks:
    """One lock per instance: a step that was given up but still runs never overlaps with its repeat or its undo."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._locks: dict[str, tuple[threading.Lock, int]] = {}

    @contextmanager
    def hold(self, key: str, heartbeat: Any = lambda *_: None) -> Iterator[None]:
        """Hold `key`'s lock; `heartbeat` is called every second of the wait, which a cancel ends."""
        with self._guard:
            lock, users = self._locks.get(key, (threading.Lock(), 0))
            self._locks[key] = (lock, users + 1)
        try:
            while not lock.acquire(timeout=1.0):
                heartbeat()
                still_wanted()
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
