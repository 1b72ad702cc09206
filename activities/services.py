"""What the services hold for an instance whose host cannot be asked: freed from the control worker's side."""

from typing import TYPE_CHECKING

from activities.step import step
from infra.contracts.instance import DeletePlan

if TYPE_CHECKING:
    from infra.leftovers import Leftovers


class Services:
    def __init__(self, leftovers: "Leftovers") -> None:
        self._leftovers = leftovers

    @step
    def release_services(self, plan: DeletePlan) -> None:
        """Delete or unbind the instance's ports, end its volume attachments. Absent is success."""
        self._leftovers.release(plan)
