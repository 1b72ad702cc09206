"""What other services hold for an instance, from the control worker's side: reserved before it has a host, freed when
its host cannot be asked."""

from datetime import timedelta
from typing import TYPE_CHECKING

from temporalio import activity

from activities.step import Where, step
from infra.contracts.errors import NeighbourAway, hopeless
from infra.contracts.instance import DeletePlan
from infra.host.heartbeats import beating

if TYPE_CHECKING:
    from infra.leftovers import Leftovers

RESERVE_TRIES = 6


class Services:
    def __init__(self, leftovers: "Leftovers") -> None:
        self._leftovers = leftovers

    @step(on=Where.CONTROL, budget=timedelta(minutes=1), tries=0)
    def reserve_named(self, plan: DeletePlan) -> None:
        """Take the ports and volumes that the tenant named for the instance, before its request is accepted.

        Idempotent: what is the instance's already stays. Raises Hopeless in Nova's words: 409 for a port, 400 for a
        volume that another server has; 503 when a service stays away, since somebody waits for the answer. Undone by
        `release_services`, which gives back only what is the instance's."""
        try:
            with beating(activity.heartbeat):
                self._leftovers.reserve(plan)
        except NeighbourAway as error:
            if activity.info().attempt < RESERVE_TRIES:
                raise
            raise hopeless(str(error), code=503) from None

    @step(on=Where.CONTROL, budget=timedelta(minutes=5), tries=0)
    def release_services(self, plan: DeletePlan) -> None:
        """Delete or unbind the instance's ports, end its volume attachments. Absent is success."""
        with beating(activity.heartbeat):
            self._leftovers.release(plan)
