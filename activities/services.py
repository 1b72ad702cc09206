"""What the services hold for an instance whose host cannot be asked: freed from the control worker's side."""

from datetime import timedelta
from typing import TYPE_CHECKING

from temporalio import activity

from activities.step import Where, step
from infra.contracts.instance import DeletePlan
from infra.host.heartbeats import beating

if TYPE_CHECKING:
    from infra.leftovers import Leftovers


class Services:
    def __init__(self, leftovers: "Leftovers") -> None:
        self._leftovers = leftovers

    @step(on=Where.CONTROL, budget=timedelta(minutes=5), tries=0)
    def release_services(self, plan: DeletePlan) -> None:
        """Delete or unbind the instance's ports, end its volume attachments. Absent is success."""
        with beating(activity.heartbeat):
            self._leftovers.release(plan)
