"""Injects faults around real steps, the way steno injects them into saga nodes."""

import asyncio
import inspect
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from temporalio import activity
from temporalio.exceptions import ApplicationError
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from activities.step import STEPS, Where

SOON = timedelta(milliseconds=100)
"""An injected failure is tried again after so long: back-off is not what these tests are about."""
LOOKS = frozenset(("check_host",))


@dataclass
class Faults(Interceptor):
    fail_before: str | None = None  # the step never takes effect
    fail_after: str | None = None  # it takes effect, and its answer is lost for good
    kind: str = "Hopeless"  # how the failure is sorted
    times: int = 10**6  # how often it fails
    transient: bool = False  # it is to be tried again
    raises: type[BaseException] | None = None  # raised within the step, instead of a failure around it
    run_twice: bool = False  # every do and every undo runs two times
    hold: str | None = None  # the step waits for `release`
    says: Any = None  # what the heartbeat of the step that waits says
    held: asyncio.Event = field(default_factory=asyncio.Event)
    release: asyncio.Event = field(default_factory=asyncio.Event)
    ran: list[str] = field(default_factory=list)
    looks: int = 0  # how often the watch looked after a host: that is no step, and comes when it likes
    apart: dict[str, "Faults"] = field(default_factory=dict)  # server's id → the faults of that server alone

    @property
    def done(self) -> list[str]:
        """What `ran` of operations. Runs that begin others look whether these are due, and do so when they like."""
        return [step for step in self.ran if step != "is_due"]

    def arm(self, **faults: Any) -> None:
        self.__init__(**faults, apart=self.apart)  # type: ignore[misc]

    def around(self, workflow_id: str | None) -> "Faults":
        return self.apart.get((workflow_id or "").removeprefix("server-"), self)

    def let_go(self) -> None:
        """Nothing is held any more, and no server has faults of its own."""
        for faults in (self, *self.apart.values()):
            faults.release.set()
        self.apart.clear()
        self.arm()

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        return _Inject(next, self)

    @property
    def hold_is_local(self) -> bool:
        """Whether the held step is a local one, whose workflow task ends only with it."""
        return self.hold in STEPS and STEPS[self.hold].where is Where.RECORD

    def maybe_fail(self, planned: str | None, step: str) -> None:
        if step == planned and self.times > 0:
            self.times -= 1
            lasting = not self.transient and self.kind != "Transient"
            words = f"injected at {step}"
            raise ApplicationError(words, type=self.kind, non_retryable=lasting, next_retry_delay=SOON)


class _Inject(ActivityInboundInterceptor):
    def __init__(self, next: ActivityInboundInterceptor, faults: Faults) -> None:
        super().__init__(next)
        self.faults = faults

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        f, step = self.faults.around(activity.info().workflow_id), activity.info().activity_type
        if step not in LOOKS:
            f.ran.append(step)
        else:
            f.looks += 1
        if step == f.hold:
            if f.says is not None:
                activity.heartbeat(f.says)
            f.held.set()
            await asyncio.shield(f.release.wait())
        if f.raises and step == f.fail_before and f.times > 0:
            f.times -= 1
            input.fn = _raising(f.raises)
        else:
            f.maybe_fail(f.fail_before, step)
        if f.run_twice:  # not by failing the first try: a retry costs the dev server a second
            input.fn = _twice(input.fn)
        result = await super().execute_activity(input)
        f.maybe_fail(f.fail_after, step)
        return result


def _twice(once: Any) -> Any:
    async def both(*args: Any) -> Any:
        await once(*args)
        return await once(*args)

    if inspect.iscoroutinefunction(once):
        return both
    return lambda *args: (once(*args), once(*args))[1]


def _raising(kind: type[BaseException]) -> Any:
    def step(*_: Any) -> None:
        raise kind

    return step
