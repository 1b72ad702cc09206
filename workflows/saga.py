"""Saga: steps run forward; if the workflow does not finish, they are undone backward.

1. An undo takes exactly the input of its do, so ids are chosen before the step, never by it.
2. An undo is registered before its do runs: a do that failed may still have taken effect.
3. Unwinding cannot be cancelled, and one failed undo does not stop the others.
4. A step that failed may be parked: the saga keeps what it has and asks whether to try that step again.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from types import TracebackType
from typing import Any, Self, TypeVar

from temporalio import workflow
from temporalio.common import Priority, RetryPolicy
from temporalio.exceptions import ApplicationError, FailureError, is_cancelled_exception
from temporalio.workflow import ActivityCancellationType

with workflow.unsafe.imports_passed_through():
    from activities.step import HEARTBEAT, Declared, Where, declared
    from infra.contracts import patience
    from infra.contracts.errors import HOPELESS, HOST_CANNOT, UNKNOWN_STEP, host_cannot
    from infra.contracts.step import Step

from workflows.steps import StepLog, explain

In = TypeVar("In")
Out = TypeVar("Out")
Undo = Callable[[], Awaitable[None]]
OVERDUE = "Overdue"
RETRY = RetryPolicy(initial_interval=timedelta(milliseconds=200), maximum_interval=timedelta(seconds=10))
RETRY_RECORD = RetryPolicy(initial_interval=timedelta(milliseconds=200), maximum_interval=timedelta(seconds=1))
"""A local activity hears of its cancel only when its next try begins."""
RETRY_ON_HOST = replace(RETRY, non_retryable_error_types=[UNKNOWN_STEP])
"""A host has one worker; another control worker may know what this one does not."""


@dataclass
class Place:
    """Where steps run: the control worker, or the queue of one host."""

    queue: str | None = None
    host: str = ""
    priority: Priority | None = None
    gone: bool = False  # the host is given up: its undos are left to its own reconciliation


HERE = Place()
"""The control worker: steps that the workflow runs as local activities."""


def control() -> Place:
    """The control worker's own queue: steps that may wait on other services, apart from the short ones."""
    return Place(queue=workflow.info().task_queue)


@dataclass
class Saga:
    log: StepLog
    interrupted: Callable[[], bool]
    park: Callable[[Step], Awaitable[bool]] | None = None  # True: run the step again
    committed: bool = False
    left: list[str] = field(default_factory=list)  # undos that were given up
    _undos: list[tuple[str, Undo]] = field(default_factory=list)

    async def step(
        self,
        do: Callable[[Any, In], Out],
        arg: In,
        *,
        undo: Callable[[Any, In], object] | None,  # required: say None, and say why
        at: Place = HERE,
    ) -> Out:
        """Run `do(arg)`; should the workflow fail later, run `undo(arg)`."""
        undoing = None if undo is None else self.owes(undo, arg, at)
        try:
            result = await self._run(do, arg, at)
        except FailureError as error:
            if kind(error) == UNKNOWN_STEP:  # it did nothing, and the host cannot know the undo
                self._undos = [each for each in self._undos if each is not undoing]
                words = f"host {at.host} is of an older release and does not know the step {do.__name__}"
                raise host_cannot(words) from error
            raise
        self.go_on(at)
        return result

    def owes(self, undo: Callable[[Any, In], object], arg: In, at: Place = HERE) -> tuple[str, Undo]:
        """Should the workflow fail from now on, run `undo(arg)`: of what is about to be done, by whichever step."""
        undoing = (undo.__name__, lambda: self._undo(undo, arg, at))
        self._undos.append(undoing)
        return undoing

    async def commit(self, do: Callable[[Any, In], Out], arg: In) -> Out:
        """The record step that ends an operation: once it has taken effect, nothing before it is undone any more."""
        result = await self._run(do, arg, HERE)
        self._undos.clear()
        self.committed = True
        self.go_on(HERE)
        return result

    def adopt(self, other: "Saga") -> None:
        """What `other` did is undone with the rest, should this one fail."""
        self._undos += other._undos

    def no_way_back(self) -> None:
        """What was there before is about to be overwritten: a failure from here on undoes nothing of what is done."""
        self._undos.clear()

    async def _run(self, do: Callable[[Any, In], Out], arg: In, at: Place) -> Out:
        while True:
            step = self.log.begin(do.__name__, at.host)
            try:
                within = patience.FOR_RECORDS if declared(do).where is Where.RECORD else None
                result = await execute(do, arg, at, step, within=within)
            except (FailureError, asyncio.CancelledError) as error:
                self.log.fail(step, error)
                if is_cancelled_exception(error):
                    raise asyncio.CancelledError from error
                if self.park and self._may_park(at) and await self.park(step):
                    continue
                raise
            self.log.succeed(step, result)
            return result

    def go_on(self, at: Place) -> None:
        """A step that finishes despite the cancel swallows it, and it is delivered only once."""
        if workflow.cancellation_reason() is not None or self.interrupted() or at.gone:
            raise asyncio.CancelledError

    def _may_park(self, at: Place) -> bool:
        return not self.interrupted() and workflow.cancellation_reason() is None and not at.gone

    async def together(self, *steps: Awaitable[Any]) -> list[Any]:
        """Run steps at once. If one fails, wait for the others before raising."""
        results = await asyncio.gather(*steps, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return results

    async def _undo(self, undo: Callable[[Any, In], object], arg: In, at: Place) -> None:
        if at.gone:
            self.left.append(undo.__name__)
            return
        step = self.log.begin(undo.__name__, at.host, undo=True)
        undoing = asyncio.ensure_future(execute(undo, arg, at, step, within=patience.FOR_AN_UNDO))
        await workflow.wait_condition(lambda: undoing.done() or at.gone)
        if at.gone and not undoing.done():
            undoing.cancel()
            await workflow.wait([undoing])
        try:
            undoing.result()
        except (FailureError, asyncio.CancelledError) as error:
            self.log.fail(step, error)
            self.left.append(undo.__name__)
            if not at.gone:
                raise
            return
        self.log.succeed(step, None)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, _type: object, error: BaseException | None, _tb: TracebackType | None) -> None:
        # Only a failed step or a cancel unwinds. Any other exception is a bug in
        # workflow code (the task is retried once fixed) or a cache eviction.
        if not isinstance(error, (FailureError, asyncio.CancelledError)):
            return
        if stuck := await uncancelled(self._unwind()):
            words = f"{explain(error)}; not undone: {', '.join(stuck)}"
            raise ApplicationError(words, type="UnwindIncomplete") from error

    async def _unwind(self) -> list[str]:
        """Undo in reverse; return the names of the undos that failed."""
        stuck = []
        for name, undo in reversed(self._undos):
            try:
                await undo()
            except FailureError as error:
                workflow.logger.warning("undo failed: %s: %s", name, explain(error))
                stuck.append(name)
        self._undos.clear()
        return stuck


async def execute(
    do: Callable[[Any, In], Out], arg: In, at: Place, step: Step, *, within: timedelta | None = None
) -> Out:
    """Run one activity where it belongs: given up after `within`, else tried for as long as its operation wants it."""
    facts = declared(do)
    work = _on_record(do, arg, facts, step) if facts.where is Where.RECORD else _on_queue(do, arg, facts, at, step)
    return await (bounded(work, within, step) if within else work)


def _on_queue(do: Callable[[Any, In], Out], arg: In, facts: Declared, at: Place, step: Step) -> Awaitable[Out]:
    return workflow.execute_activity_method(
        do,
        arg,
        task_queue=at.queue,
        start_to_close_timeout=facts.budget,
        heartbeat_timeout=HEARTBEAT,
        retry_policy=RETRY_ON_HOST if at.host else RETRY,  # the worker's interceptor ends it where the host is to blame
        # Never undo a step that is still running.
        cancellation_type=ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        summary=step.summary,
        priority=at.priority or Priority.default,
    )


def _on_record(do: Callable[[Any, In], Out], arg: In, facts: Declared, step: Step) -> Awaitable[Out]:
    return workflow.execute_local_activity_method(
        do,
        arg,
        start_to_close_timeout=facts.budget,
        retry_policy=RETRY_RECORD,
        cancellation_type=ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        summary=step.summary,
    )


async def bounded(work: Awaitable[Out], within: timedelta, step: Step) -> Out:
    """The result of `work`, which is given up after `within`. Temporal itself bounds each try, and the time of all
    tries together only where a try begins late enough: a local activity that fails fast goes on."""
    task = asyncio.ensure_future(work)
    overdue = False

    def give_up() -> None:
        nonlocal overdue
        overdue = True
        task.cancel()

    timer = asyncio.get_running_loop().call_later(within.total_seconds(), give_up)
    try:
        return await task
    except (FailureError, asyncio.CancelledError) as error:
        if not overdue:
            raise
        words = f"{step.summary} was given up after {within.total_seconds():.0f} s: {explain(error)}"
        raise ApplicationError(words, type=OVERDUE, non_retryable=True) from error
    finally:
        timer.cancel()


async def uncancelled(work: Awaitable[Out]) -> Out:
    """The result of `work`, which goes on to its end whatever cancels arrive meanwhile."""
    task = asyncio.ensure_future(work)
    while not task.done():
        # A cancel now asks for what is already being done; a failure is told below.
        with suppress(asyncio.CancelledError, FailureError):
            await asyncio.shield(task)
    return task.result()


def kind(error: BaseException) -> str:
    """The sort of a failure: Hopeless, HostCannot, a step that its worker does not know, or ""."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ApplicationError) and cause.type in (HOPELESS, HOST_CANNOT, UNKNOWN_STEP):
            return str(cause.type)
        cause = cause.__cause__
    return ""
