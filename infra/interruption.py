"""Whether anybody still wants what this thread does."""

from temporalio import activity
from temporalio.exceptions import CancelledError


def still_wanted() -> None:
    """Raise CancelledError in a step that was cancelled, or whose worker ends; nothing outside of steps.

    To be called wherever a step may wait long: between chunks, while another has the turn."""
    if is_cancelled():
        raise CancelledError("Cancelled")


def is_cancelled() -> bool:
    return activity.in_activity() and activity.is_cancelled()
