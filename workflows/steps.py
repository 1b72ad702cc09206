"""The log of an operation's steps: for the event list, the Web UI and `build watch`."""

import asyncio
from collections.abc import Callable
from datetime import datetime

from temporalio import workflow
from temporalio.exceptions import ActivityError, CancelledError, FailureError, TimeoutError

with workflow.unsafe.imports_passed_through():
    from infra.contracts.step import DEADLINE, Done, Step

from workflows import metrics

SUCCESS, ERROR = "Success", "Error"
MARKS = {SUCCESS: "✔", ERROR: "✘", None: "…"}


class StepLog:
    """Steps of one run, in the order in which they began. `changed` is told after each change."""

    def __init__(self, changed: Callable[[], None] = lambda: None) -> None:
        self.steps: list[Step] = []
        self.latest: Step | None = None  # the newest step that was not an undo
        self.failed: Step | None = None  # the newest of them that failed
        self.ends_by: datetime | None = None  # told with the first
        self._lines: dict[int, str] = {}  # by the step's id: of each step as it was when it changed last
        self._changed = changed

    def begin(self, event: str, host: str, *, undo: bool = False) -> Step:
        step = Step(event=event, host=host, start_time=workflow.now())
        if self.ends_by and not self.steps:
            step.details = f"{DEADLINE}{self.ends_by:%Y-%m-%dT%H:%M:%SZ}"
        self.steps.append(step)
        self.latest = self.latest if undo else step
        self._tell(step)
        return step

    def succeed(self, step: Step, result: object) -> None:
        step.result, step.finish_time = SUCCESS, workflow.now()
        if isinstance(result, Done):
            began = result.started_at
            for event, done in result.along.items():
                self._along(step, event, done)
                began = done.finished_at or began
            step.attempt, step.parts = result.attempt, result.parts
            step.start_time = began or step.start_time
            step.finish_time = result.finished_at or step.finish_time
        metrics.stepped(step)
        self._tell(step)

    def fail(self, step: Step, error: BaseException) -> None:
        self.failed = step if step is self.latest or self.failed is None else self.failed
        step.result, step.finish_time, step.details = ERROR, workflow.now(), explain(error)
        metrics.stepped(step)
        self._tell(step)

    def _along(self, step: Step, event: str, done: Done) -> None:
        """What `step` did first is told before it, as the step that it is where it runs by itself."""
        first = Step(event=event, host=step.host, start_time=step.start_time)
        self.steps.insert(self.steps.index(step), first)
        self._lines.pop(id(step))
        self.succeed(first, done)

    def report(self) -> list[Step]:
        """Copies of the finished steps, to be written to the database with the operation's last word."""
        return [step.model_copy() for step in self.steps if step.result]

    def as_markdown(self) -> str:
        return "\n".join(self._lines.values())

    def _tell(self, step: Step) -> None:
        details = f": {step.details}" if step.details else ""
        self._lines[id(step)] = f"- {MARKS[step.result]} {step.summary}{details}"
        self._changed()


def explain(error: BaseException) -> str:
    """What happened, in words for the tenant: the innermost cause without types and traces."""
    cause: BaseException = error
    while isinstance(cause, ActivityError) and cause.__cause__ is not None:
        cause = cause.__cause__
    if isinstance(cause, (asyncio.CancelledError, CancelledError)):
        return "cancelled"
    if isinstance(cause, TimeoutError):
        return f"no answer in time ({cause.type.name.lower().replace('_', ' ') if cause.type else 'timeout'})"
    return cause.message if isinstance(cause, FailureError) else str(cause)
