"""A guest as it was before an operation: set aside, brought back, or forgotten. Runs on the queue of its host."""

from datetime import timedelta
from typing import TYPE_CHECKING

from temporalio import activity

from activities.step import step
from infra.contracts.aside import Aside
from infra.contracts.power import Power

if TYPE_CHECKING:
    from infra.host.keeper import Keeper


class Kept:
    def __init__(self, keeper: "Keeper") -> None:
        self._keeper = keeper

    @step(resource="domain", heavy=True, budget=timedelta(hours=1))
    def set_aside(self, want: Aside) -> Power:
        """Have the guest shut itself down (ended when it does not in time), and keep disk, config drive and definition.

        Idempotent by the request: what is kept for it already is not kept again. Raises HostCannot when this host has
        lost the server, or has no room for a copy."""
        return self._keeper.set_aside(want, activity.heartbeat)

    @step(resource="domain", heavy=True, budget=timedelta(minutes=30))
    def bring_back(self, want: Aside) -> None:
        """Undo of `set_aside`: the guest is what it was, and runs if it ran. With nothing kept it is only started."""
        self._keeper.bring_back(want, activity.heartbeat)

    @step(resource="domain", budget=timedelta(minutes=5))
    def forget_aside(self, want: Aside) -> None:
        """What was kept goes: there is no way back any more. Absent is success."""
        self._keeper.forget(want, activity.heartbeat)
