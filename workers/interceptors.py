"""Around every step: what it tells about itself, one step at a time per instance, logs that name both."""

import inspect
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
from keystoneauth1.exceptions import ClientException
from temporalio import activity
from temporalio.exceptions import ApplicationError, FailureError
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from activities.step import STEPS, Declared, Where
from infra import logs
from infra.contracts.errors import NEIGHBOUR_AWAY, NeighbourAway, disk_full, host_cannot, is_full
from infra.contracts.step import Done
from infra.interruption import END_OF_TRY, still_wanted

log = logs.get(__name__)


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


MARGIN_S = 1.0
"""So long before the end of a try nothing is committed any more."""


class _Step(ActivityInboundInterceptor):
    def __init__(self, next: ActivityInboundInterceptor, around: StepInterceptor) -> None:
        super().__init__(next)
        self._around = around

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        info, facts = activity.info(), STEPS.get(activity.info().activity_type)
        instance_id = getattr(input.args[0], "instance_id", None) if input.args else None
        structlog.contextvars.bind_contextvars(step=info.activity_type, instance_id=instance_id, attempt=info.attempt)
        if info.is_local and info.attempt > 1:  # those of hosts are known to the workflow
            retries = activity.metric_meter().create_counter(
                "kilonova_step_retries_total", "Tries of steps beyond the first"
            )
            retries.add(1, {"step": info.activity_type})
        started, begun = datetime.now(UTC), time.perf_counter()
        if facts is not None:
            END_OF_TRY.set(time.monotonic() + facts.budget.total_seconds() - MARGIN_S)
        if not inspect.iscoroutinefunction(input.fn):
            input.fn = _guarded(input.fn)
        if facts and facts.resource and instance_id:
            input.fn = self._alone(input.fn, f"{instance_id}/{facts.resource}")
        self._around.die_if_told(info.activity_type, "before")
        try:
            result = await super().execute_activity(input)
            self._around.die_if_told(info.activity_type, "after")
        except Exception as error:
            log.warning("step failed", error=str(error), ms=round((time.perf_counter() - begun) * 1000, 1))
            failure = sorted_failure(error, facts, info.attempt, self._around.host)
            if failure is error:
                raise
            raise failure from error
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


def sorted_failure(error: Exception, facts: Declared | None, attempt: int, host: str) -> Exception:
    """What the workflow is to make of `error`: as the step sorted it; a neighbour's outage, which it waits for; or that
    this host cannot, since its disk is full, or of a step that was tried there often enough."""
    if isinstance(error, FailureError):
        return error
    if isinstance(error, (NeighbourAway, ClientException)):
        return ApplicationError(str(error), type=NEIGHBOUR_AWAY)
    if facts and facts.where is Where.HOST and is_full(error):
        return disk_full()
    if facts and facts.where is Where.HOST and facts.tries and attempt >= facts.tries:
        return host_cannot(f"{host}: {error} (tried {attempt} times)")
    return error


def _guarded(step: Callable[..., Any]) -> Callable[..., Any]:
    """`step` with what asyncio cannot carry out of a thread, or would end the worker, made into an ordinary failure."""

    @wraps(step)
    def run(*args: Any) -> Any:
        try:
            return step(*args)
        except (StopIteration, StopAsyncIteration) as error:
            raise RuntimeError(f"{type(error).__name__} in {step.__name__}") from error
        except Exception:
            raise
        except BaseException as error:
            raise RuntimeError(f"{type(error).__name__} in {step.__name__}") from error

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
