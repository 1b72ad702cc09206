"""Injects faults around real steps, the way steno injects them into saga nodes."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

from temporalio import activity
from temporalio.exceptions import ApplicationError
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

LOCAL = (
    "validate_token", "create_record", "claim_host", "fetch_flavor", "mark_active", "release_host", "fail_record",
    "begin_delete", "finish_delete", "release_services",
)  # fmt: skip


@dataclass
class Faults(Interceptor):
    fail_before: str | None = None  # the step never takes effect
    fail_after: str | None = None  # it takes effect, and its answer is lost for good
    kind: str = "Hopeless"  # how the failure is sorted
    times: int = 10**6  # how often it fails
    run_twice: bool = False  # every do and every undo runs two times
    hold: str | None = None  # the step waits for `release`
    held: asyncio.Event = field(default_factory=asyncio.Event)
    release: asyncio.Event = field(default_factory=asyncio.Event)
    ran: list[str] = field(default_factory=list)

    def arm(self, **faults: Any) -> None:
        self.__init__(**faults)  # type: ignore[misc]

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        return _Inject(next, self)

    @property
    def hold_is_local(self) -> bool:
        """Whether the held step is a local one, whose workflow task ends only with it."""
        return self.hold in LOCAL

    def maybe_fail(self, planned: str | None, step: str) -> None:
        if step == planned and self.times > 0:
            self.times -= 1
            raise ApplicationError(f"injected at {step}", type=self.kind, non_retryable=self.kind != "Transient")


class _Inject(ActivityInboundInterceptor):
    def __init__(self, next: ActivityInboundInterceptor, faults: Faults) -> None:
        super().__init__(next)
        self.faults = faults

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        f, step = self.faults, activity.info().activity_type
        f.ran.append(step)
        if step == f.hold:
            f.held.set()
            await asyncio.shield(f.release.wait())
        f.maybe_fail(f.fail_before, step)
        if f.run_twice:  # not by failing the first try: a retry costs the dev server a second
            once = input.fn
            input.fn = lambda *args: (once(*args), once(*args))[1]
        result = await super().execute_activity(input)
        f.maybe_fail(f.fail_after, step)
        return result
