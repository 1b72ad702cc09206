"""What every operation on a server shares: acceptance, deadline, parking, the delete that always gets through."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, ClassVar

from temporalio import workflow
from temporalio.exceptions import ApplicationError, FailureError

with workflow.unsafe.imports_passed_through():
    from activities.instance import Instance
    from activities.placement import Placement
    from infra.contracts.instance import ParkedAt
    from infra.contracts.placement import HostRef
    from infra.contracts.step import Step

from workflows import metrics
from workflows.requests import Accepted, DeleteRequest, Fault
from workflows.saga import CONTROL, HERE, UNDO, Place, Saga, execute, kind, uncancelled
from workflows.steps import StepLog, explain

WATCH_EVERY = timedelta(seconds=20)
RETRY, ABORT = "retry", "abort"


class Operation:
    """Base of the workflows that run under a server's id. Subclasses call `carry_out` from their `run`."""

    counter: ClassVar[str] = "kilonova_operations_total"  # counts ends; see workflows/metrics.py

    def __init__(self) -> None:
        self.log = StepLog(self._show)
        self.instance_id = ""
        self.deleting: DeleteRequest | None = None
        self.overdue = ""  # why the deadline cut the operation off
        self.place: Place | None = None  # the host at work
        self.left_behind = False  # a host was given up: what the services hold for it is freed from here
        self._accepted: Accepted | None = None
        self._refusal: ApplicationError | None = None
        self._parked: Step | None = None
        self._decision = ""
        self._body: asyncio.Task[Any] | None = None
        self._deadline: datetime | None = None

    # What the outside may ask

    @workflow.signal
    def delete(self, request: DeleteRequest) -> None:
        """Give up what is being done, undo it, and go on as DeleteInstance under the same id."""
        if self.deleting is None:
            self.deleting = request
            self._cancel_body()

    @workflow.update
    async def accepted(self) -> Accepted:
        """Returns once the request is durable (token checked, quota taken, record written), or its refusal."""
        await workflow.wait_condition(lambda: self._accepted is not None or self._refusal is not None)
        if self._accepted is None:
            raise self._refusal or ApplicationError("refused")
        return self._accepted

    @workflow.update
    def decide(self, decision: str) -> str:
        """`retry` runs the parked step again, `abort` undoes the build. Returns the step's name."""
        self._decision = decision
        return self._parked.event if self._parked else ""

    @decide.validator
    def _may_decide(self, decision: str) -> None:
        if self._parked is None:
            raise ApplicationError("No step of this server's build is waiting for a decision.", type="NotParked")
        if decision not in (RETRY, ABORT):
            raise ApplicationError("The decision must be retry or abort.", type="BadDecision")

    @workflow.query
    def steps(self) -> list[Step]:
        """Every step so far, the running ones without a result."""
        return self.log.steps

    # What subclasses use

    def accept(self, accepted: Accepted) -> None:
        self._accepted = accepted

    def saga(self, *, park: bool = False, within: timedelta | None = None) -> Saga:
        return Saga(self.log, self.interrupted, self._park(within or timedelta(days=1)) if park else None)

    def interrupted(self) -> bool:
        return self.deleting is not None or bool(self.overdue)

    async def carry_out(
        self, body: Coroutine[Any, Any, Any], deadline: timedelta, on_failure: Callable[[Fault], Awaitable[None]]
    ) -> None:
        """Run `body` to its end, its failure (told to `on_failure` before the workflow fails), or the deadline."""
        self._deadline = workflow.now() + deadline
        self._body = asyncio.create_task(body)
        if self.deleting is not None:  # the signal was there before the first step
            self._body.cancel()
        watch = asyncio.create_task(self._watch())
        try:
            await self._body
            metrics.ended(self.counter, "active")
        except (FailureError, asyncio.CancelledError) as error:
            await self._end_badly(error, on_failure)
        finally:
            watch.cancel()
            with suppress(asyncio.CancelledError):
                await uncancelled(workflow.wait_condition(workflow.all_handlers_finished))

    async def _end_badly(
        self, error: FailureError | asyncio.CancelledError, on_failure: Callable[[Fault], Awaitable[None]]
    ) -> None:
        cancelled = isinstance(error, asyncio.CancelledError) and not self.overdue
        refusal = _telling(error)
        if self._accepted is None:
            self._refusal = refusal or ApplicationError(
                "The request was given up before it was accepted.", {"code": 409}
            )
        if self.deleting is not None:
            metrics.ended(self.counter, "deleted")
            return
        fault = self._fault(error)
        await uncancelled(on_failure(fault))
        metrics.ended(self.counter, "cancelled" if cancelled else "error" if self._accepted else "refused")
        if cancelled:
            raise error
        raise ApplicationError(fault.message, type=kind(error) or "OperationFailed", non_retryable=True) from error

    def _fault(self, error: BaseException) -> Fault:
        failed = self.log.failed
        reason = self.overdue or explain(error)
        inner = _telling(error)
        code = next((d["code"] for d in (inner.details if inner else ()) if isinstance(d, dict) and "code" in d), 500)
        if self.overdue or isinstance(error, asyncio.CancelledError):
            cut = self.log.latest.summary if self.log.latest else "its start"
            reason = self.overdue or f"The operation was cancelled by an operator during: {cut}."
            return Fault(code=500, message=reason)
        if inner is not None and inner.type == "NoValidHost":
            return Fault(
                code=code, message=reason, details=next((str(d["why"]) for d in inner.details if "why" in d), "")
            )
        where = f" ({failed.summary})" if failed else ""
        return Fault(code=code, message=f"{reason}{where}")

    # What happens beside the steps

    async def _watch(self) -> None:
        """While steps run: is the host still there, and is there time left?"""
        while True:
            await asyncio.sleep(WATCH_EVERY.total_seconds())
            if self._deadline and workflow.now() > self._deadline and self._parked is None and not self.interrupted():
                running = [s.summary for s in self.log.steps if s.result is None]
                self.overdue = f"Not finished before its deadline; last: {', '.join(running) or 'between two steps'}."
                self._cancel_body()
            place = self.place
            if place is None or place.gone or self._parked is not None:
                continue
            step = Step(event="check_host", start_time=workflow.now())
            if not await execute(Placement.check_host, HostRef(host=place.host), HERE, step, CONTROL):
                place.gone = True
                self._cancel_body()

    def _cancel_body(self) -> None:
        if self._body is not None:
            self._body.cancel()

    def _park(self, within: timedelta) -> Callable[[Step], Awaitable[bool]]:
        async def park(step: Step) -> bool:
            """Hold everything as it is until somebody decides, or `within` is over. True: run the step again."""
            self._parked, self._decision = step, ""
            marked = Step(event="park", start_time=workflow.now())
            where = ParkedAt(instance_id=self.instance_id, step=step.event, reason=step.details or "")
            await execute(Instance.park, where, HERE, marked, UNDO)
            self._show()
            try:
                await workflow.wait_condition(lambda: bool(self._decision), timeout=within)
            except TimeoutError:
                self._decision = ABORT
            finally:
                self._parked = None
            await execute(Instance.unpark, where, HERE, marked, UNDO)
            self._deadline = self._deadline and workflow.now() + WATCH_EVERY * 90
            self._show()
            return self._decision == RETRY

        return park

    def _show(self) -> None:
        head = f"**parked** at {self._parked.summary}; decide: retry or abort\n\n" if self._parked else ""
        workflow.set_current_details(head + self.log.as_markdown())


def _telling(error: BaseException) -> ApplicationError | None:
    """The step's own error: the outermost that carries a status or reasons, else the outermost there is.

    Around it there may be what could not be undone, within it what the step met, in nobody's words."""
    cause: BaseException | None = error
    found: list[ApplicationError] = []
    while cause is not None:
        if isinstance(cause, ApplicationError):
            found.append(cause)
        cause = cause.__cause__
    return next((each for each in found if each.details), found[0] if found else None)
