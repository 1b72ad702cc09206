"""A build tries one host, then the next alternate: each attempt is a saga of its own, undone before the next."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from types import TracebackType

from temporalio import workflow
from temporalio.common import Priority
from temporalio.exceptions import ApplicationError, FailureError

with workflow.unsafe.imports_passed_through():
    from infra.contracts.errors import HOST_CANNOT

from workflows import metrics
from workflows.build import Build
from workflows.requests import BootRequest
from workflows.saga import Out, Place, Saga, kind
from workflows.steps import explain

NO_VALID_HOST = "NoValidHost"
GONE = "the host stopped answering"


async def nothing(value: Out) -> Out:
    """Stands for a step that this build does not need."""
    return value


def go_on_without(place: Place) -> None:
    """A host that is gone had the operation cancelled, which goes on elsewhere."""
    task = asyncio.current_task()
    if place.gone and task is not None:
        task.uncancel()


class Attempt:
    """One host's try. Leaving the block undoes it when it failed; a failure that another host may cure ends here."""

    def __init__(self, operation: Build, request: BootRequest, tried: dict[str, str]) -> None:
        self.tried = tried
        self.succeeded = False
        self._operation, self._request = operation, request
        parks = request.hints.get("kilonova:on_failure") == "park"
        self._saga = operation.parking(timedelta(seconds=request.park_deadline_s)) if parks else operation.saga()
        self._place: Place | None = None

    def move_to(self, host: str) -> Place:
        """The claimed host's place; from now on the operation watches it."""
        fair = Priority(fairness_key=self._request.requester.project_id)
        self._place = Place(queue=f"compute.{host}", host=host, priority=fair)
        self._operation.place = self._place
        self._operation.host = host
        if self._request.build_of < 1:
            self._operation.show_host()
        return self._place

    async def __aenter__(self) -> Saga:
        return await self._saga.__aenter__()

    async def __aexit__(
        self, type_: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        try:
            await self._saga.__aexit__(type_, error, trace)
        except FailureError:  # an undo here failed: what services hold for a host that is gone is freed all the same
            if self._is_gone() and workflow.patched("freed-though-stuck"):
                self._operation.left_behind = True
            raise
        self._operation.place = None
        self._operation.left_behind |= self._is_gone()
        if error is None:
            self.succeeded = True
            return False
        if not isinstance(error, (FailureError, asyncio.CancelledError)):
            return False  # a bug or a cache eviction, as in Saga
        if not self._place or not self._another_host_may_help(error):
            return False
        self.tried[self._place.host] = reason_of(error, self._place)
        go_on_without(self._place)
        return True

    def _is_gone(self) -> bool:
        return self._place is not None and self._place.gone

    def _another_host_may_help(self, error: BaseException) -> bool:
        if self._operation.interrupted() or workflow.cancellation_reason() is not None:
            return False
        if self._is_gone():
            return True  # however its last step ended: cancelled, or without its heartbeats
        # With parking on, the owner decided to abort, or did not decide in time. What a store or a neighbour refused,
        # another host would be refused as well.
        return kind(error) == HOST_CANNOT and self._saga.park is None


class Attempts:
    """`async for attempt in Attempts(...)`: until one succeeds or `max_hosts` have failed."""

    def __init__(self, operation: Build, request: BootRequest) -> None:
        self._operation, self._request = operation, request

    async def __aiter__(self) -> AsyncIterator[Attempt]:
        tried = self._operation.tried
        while len(tried) < self._request.max_hosts:
            if tried:
                metrics.count("kilonova_reschedules_total", "Builds that went on to another host")
            attempt = Attempt(self._operation, self._request, tried)
            yield attempt
            if attempt.succeeded:
                return
        raise none_left(tried)


def none_left(tried: dict[str, str]) -> ApplicationError:
    """All hosts that were to be tried could not."""
    reasons = "; ".join(f"{host}: {reason}" for host, reason in tried.items())
    return ApplicationError(
        f"No valid host was found. {len(tried)} tried: {reasons}",
        {"code": 500, "why": reasons},
        type=NO_VALID_HOST,
        non_retryable=True,
    )


def reason_of(error: BaseException, place: Place) -> str:
    """Why this host was left for the next."""
    return GONE if place.gone else explain(error)
