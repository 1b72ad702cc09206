"""Whether anybody still wants what this thread does."""

import sys
import time
from contextvars import ContextVar


def still_wanted() -> None:
    """Raise CancelledError in a step that was cancelled, or whose worker ends; nothing outside of steps.

    To be called wherever a step may wait long: between chunks, while another has the turn."""
    if is_cancelled():
        from temporalio.exceptions import CancelledError

        raise CancelledError("Cancelled")


def is_cancelled() -> bool:
    """A process that has not imported Temporal's SDK, which is 30 MiB, runs no steps."""
    activity = sys.modules.get("temporalio.activity")
    return activity is not None and activity.in_activity() and bool(activity.is_cancelled())


class TooLate(Exception):
    """The step's try is given up by now, or about to be: what it would write might land after its undo."""


END_OF_TRY: ContextVar[float | None] = ContextVar("end_of_try", default=None)
"""When (time.monotonic) this step's try is given up; the worker's interceptor sets it."""


def still_in_time() -> None:
    """Raise TooLate in a step whose try is over. To be called right before what can't be taken back."""
    end = END_OF_TRY.get()
    if end is not None and time.monotonic() > end:
        raise TooLate("the step took longer than one try may")
