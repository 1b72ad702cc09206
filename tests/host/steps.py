"""Steps as Temporal runs them, on what a test made."""

from collections.abc import Callable
from typing import TypeVar

from temporalio.testing import ActivityEnvironment

In = TypeVar("In")
Out = TypeVar("Out")


def run(step: Callable[[In], Out], want: In) -> Out:
    return ActivityEnvironment().run(step, want)
