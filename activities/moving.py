"""A guest that goes from one host to another, and back. Runs on the queue of either."""

from datetime import timedelta
from typing import TYPE_CHECKING

from temporalio import activity

from activities.step import step
from infra.contracts.power import Power
from infra.contracts.resize import Arriving, Leaving

if TYPE_CHECKING:
    from infra.host.mover import Mover


class Moving:
    def __init__(self, mover: "Mover") -> None:
        self._mover = mover

    @step(resource="domain", budget=timedelta(hours=1))
    def leave_host(self, want: Leaving) -> Power:
        """Have the guest shut itself down (ended when it does not in time). All that it is stays here.

        Off is success. Raises HostCannot when this host has lost the server."""
        return self._mover.leave(want, activity.heartbeat)

    @step(resource="domain", heavy=True, budget=timedelta(minutes=30))
    def come_back(self, want: Leaving) -> Power:
        """Undo of `leave_host`: the server's ports and volumes are on this host again, its guest is what its records
        say, and runs if it ran. One that runs is left alone."""
        return self._mover.come_back(want, activity.heartbeat)

    @step(resource="domain", heavy=True, budget=timedelta(minutes=30))
    def arrive(self, want: Arriving) -> Power:
        """Define the guest on this host, whose disk, ports and volumes are there, and start it if it is to run.

        Idempotent, and raises, as `Hypervisor.spawn`."""
        return self._mover.arrive(want, activity.heartbeat)
