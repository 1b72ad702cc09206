"""What every operation on a server shares: log, deadline, watch on the host, the delete that always gets through."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, ClassVar, NoReturn

from temporalio import workflow
from temporalio.exceptions import ApplicationError, FailureError

with workflow.unsafe.imports_passed_through():
    from activities.placement import Placement
    from infra.contracts import patience
    from infra.contracts.errors import BUSY
    from infra.contracts.placement import HostRef
    from infra.contracts.search import REQUEST_ID, REQUEST_KEY
    from infra.contracts.states import SCHEDULING
    from infra.contracts.step import Step

from workflows import metrics
from workflows.requests import Accepted, CutOff, DeleteRequest, Fault, GivenUp
from workflows.saga import HERE, Place, Saga, execute, kind, uncancelled
from workflows.steps import StepLog, explain


class Operation:
    """Base of the workflows that run under a server's id. Subclasses call `carry_out` from their `run`."""

    counter: ClassVar[str] = "kilonova_operations_total"  # counts ends; see workflows/metrics.py
    good_end: ClassVar[str] = "good"

    def __init__(self) -> None:
        self.log = StepLog(self._show)
        self.instance_id = ""
        self.task_state = SCHEDULING  # what a second operation is told that this one does
        self.deleting: DeleteRequest | None = None
        self.overdue = ""  # why the deadline cut the operation off
        self.place: Place | None = None  # the host at work
        self.left_behind = False  # a host was given up: what the services hold for it is freed from here
        self._request_id = workflow.info().typed_search_attributes.get(REQUEST_ID) or ""
        self._key: str = workflow.memo_value(REQUEST_KEY, default="", type_hint=str)
        self._accepted: Accepted | None = None
        self._refusal: ApplicationError | None = None
        self._body: asyncio.Task[Any] | None = None
        self._deadline: datetime | None = None

    # What the outside may ask

    @workflow.signal
    def delete(self, request: DeleteRequest) -> None:
        """Give up what is being done, undo it, and go on as DeleteInstance under the same id."""
        if self.deleting is None or (self.deleting.reclaim_after_s and not request.reclaim_after_s):
            self.deleting = request
            self._cancel_body()

    @workflow.update
    async def accepted(self, key: str) -> Accepted:
        """Returns once the request is durable (record written, quota taken), or its refusal."""
        await workflow.wait_condition(lambda: self._accepted is not None or self._refusal is not None)
        if self._accepted is None:
            raise self._refusal or ApplicationError("refused")
        return self._accepted

    @accepted.validator
    def _is_this_one(self, key: str) -> None:
        """A repeat of the request finds its own operation; any other is refused while this one runs."""
        if key != self._key:
            raise ApplicationError("busy", {"code": 409, "task_state": self.task_state}, type=BUSY)

    @workflow.query
    def steps(self) -> list[Step]:
        """Every step so far, the running ones without a result."""
        return self.log.steps

    # What subclasses use

    def show_host(self) -> None:
        """Have the operation be found by its host, if its start did not tell it."""

    def accept(self, accepted: Accepted) -> None:
        self._accepted = accepted

    @property
    def is_accepted(self) -> bool:
        return self._accepted is not None

    def saga(self) -> Saga:
        return Saga(self.log, self.interrupted)

    def left(self) -> dict[str, Any]:
        """Columns of the record that tell a delete what could not be undone."""
        return {}

    def interrupted(self) -> bool:
        """Whether the operation is to end: a delete waits, or its time is over."""
        return self.deleting is not None or bool(self.overdue)

    async def carry_out(
        self,
        body: Coroutine[Any, Any, None],
        deadline: timedelta,
        on_failure: Callable[[Fault], Awaitable[None]],
    ) -> None:
        """Run `body` to its end, its failure (told to `on_failure` before the workflow fails), or the deadline.

        The one place where an operation ends, and where a delete that came meanwhile takes over. A bug, here or in the
        watch, fails the workflow task at once, whoever still waits for an answer: mended code then goes on."""
        self._deadline = self.log.ends_by = workflow.now() + deadline
        self._body = asyncio.create_task(body)
        if self.deleting is not None:  # the signal was there before the first step
            self._body.cancel()
        watch = asyncio.create_task(self._watch())
        failure: BaseException | None = None
        try:
            await self._until_over(self._body, watch)
            metrics.ended(self.counter, self.good_end)
        except (FailureError, asyncio.CancelledError) as error:
            failure = await self._end_badly(error, on_failure)
        finally:
            watch.cancel()
        await uncancelled(workflow.wait([watch]))  # what it still asks of the server must come before the run's end
        with suppress(asyncio.CancelledError):
            await uncancelled(workflow.wait_condition(workflow.all_handlers_finished))
        self.show_host()
        if self.deleting is not None:  # looked at last: it may have come while the record was written
            self._give_way(self.deleting)
        if failure is not None:
            raise failure

    async def _until_over(self, body: asyncio.Task[None], watch: asyncio.Task[None]) -> None:
        while not body.done():
            try:
                await workflow.wait([body, watch], return_when=asyncio.FIRST_COMPLETED)
            except asyncio.CancelledError:
                body.cancel()
                continue
            if watch.done():
                watch.result()
        body.result()

    def _give_way(self, deleting: DeleteRequest) -> NoReturn:
        cut_off = CutOff(request_id=self._request_id, steps=self.log.report(), left=self.left())
        # By its name: it is an operation itself, and cannot be imported here.
        workflow.continue_as_new(workflow="DeleteInstance", args=[deleting.model_copy(update={"cut_off": cut_off})])

    async def _end_badly(
        self, error: FailureError | asyncio.CancelledError, on_failure: Callable[[Fault], Awaitable[None]]
    ) -> BaseException | None:
        """What the workflow is to fail with, once the record tells of it; None when a delete takes over."""
        cancelled = isinstance(error, asyncio.CancelledError) and not self.overdue
        if self._accepted is None:
            given_up = ApplicationError("The request was given up before it was accepted.", {"code": 409})
            self._refusal = _telling(error) or given_up
        if self.deleting is not None:
            metrics.ended(self.counter, "deleted")
            return None
        fault = self._fault(error)
        await uncancelled(on_failure(fault))
        metrics.ended(self.counter, "cancelled" if cancelled else "error" if self._accepted else "refused")
        if cancelled:
            return error
        failed = ApplicationError(fault.message, type=kind(error) or "OperationFailed", non_retryable=True)
        failed.__cause__ = error
        return failed

    def _fault(self, error: BaseException) -> Fault:
        failed = self.log.failed
        reason = self.overdue or explain(error)
        inner = _telling(error)
        code = next((d["code"] for d in (inner.details if inner else ()) if isinstance(d, dict) and "code" in d), 500)
        if self.overdue or isinstance(error, asyncio.CancelledError):
            cut = self.log.latest.summary if self.log.latest else "its start"
            why = _cause(host_is_gone=self.place is not None and self.place.gone)
            reason = self.overdue or f"The operation was cancelled {why} during: {cut}."
            return Fault(code=500, message=reason)
        if inner is not None and inner.type == "NoValidHost":
            return Fault(
                code=code, message=reason, details=next((str(d["why"]) for d in inner.details if "why" in d), "")
            )
        where = f" ({failed.summary})" if failed else ""
        return Fault(code=code, message=f"{reason}{where}")

    # What happens beside the steps

    async def _watch(self) -> None:
        """While steps run: is the host still there, and is there time left? A cancel alone would not end it: a look
        that is under way when the steps end takes it for its own."""
        body = self._body
        while body is not None and not body.done():
            await asyncio.sleep(patience.WATCH_EVERY.total_seconds())
            self.show_host()
            await workflow.wait_condition(self._is_at_work)
            if self._deadline and workflow.now() > self._deadline and not self.interrupted():
                running = [s.summary for s in self.log.steps if s.result is None]
                self.overdue = f"Not finished before its deadline; last: {', '.join(running) or 'between two steps'}."
                self._cancel_body()
            place = self.place
            if place is not None and not place.gone and not await self.is_up(place.host):
                place.gone = True
                self._cancel_body()

    def _is_at_work(self) -> bool:
        """Whether time counts and hosts matter."""
        return True

    async def is_up(self, host: str) -> bool:
        """Whether the host reports. While the store does not answer it counts as up: unknown is not gone."""
        step = Step(event="check_host", start_time=workflow.now())
        try:
            return await execute(Placement.check_host, HostRef(host=host), HERE, step, within=patience.FOR_RECORDS)
        except FailureError as error:
            workflow.logger.warning("whether %s is up is not known: %s", host, explain(error))
            return True

    def _cancel_body(self) -> None:
        if self._body is not None:
            self._body.cancel()

    def _show(self) -> None:
        workflow.set_current_details(self.log.as_markdown())


def _cause(*, host_is_gone: bool) -> str:
    """Ours is told. An operator's words are not: tenants read this, and Temporal's tools write names and hosts."""
    said = workflow.cancellation_reason()
    if said is None and host_is_gone:
        return "as its host does not report any more"
    return said if said in list(GivenUp) else "by an operator"


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
