"""Requests that begin by themselves after a time: their timers, and what a timer does when its time has come."""

from datetime import timedelta
from typing import TYPE_CHECKING

from activities.step import Where, record_step, step
from infra.contracts.later import Due

if TYPE_CHECKING:
    from infra.starting import Starter
    from infra.stores.causes import Causes


class Later:
    def __init__(self, starter: "Starter", causes: "Causes") -> None:
        self._starter, self._causes = starter, causes

    @step(on=Where.CONTROL, budget=timedelta(seconds=30), tries=0)
    async def set_timer(self, due: Due) -> None:
        """Have a BeginLater wait until `due.at`. A timer for the same cause that is there already, or was, stays."""
        await self._starter.set_timer(due)

    @record_step
    def is_due(self, due: Due) -> bool:
        """Whether the server is still what the cause made it. Reads only."""
        return self._causes.holds(due)

    @step(on=Where.CONTROL, budget=timedelta(seconds=30), tries=0)
    async def begin_due(self, due: Due) -> None:
        """Start the operation, unless another one runs on the server.

        Safe to repeat: the request's id follows from the cause, and an operation that was done is not done again. The
        operation itself looks at the cause once more, in the transaction in which it begins."""
        await self._starter.begin(due)
