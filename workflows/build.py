"""A build is an operation that can be parked at a step that failed, until somebody decides over it."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from activities.instance import Instance
    from infra.contracts.instance import ParkedAt
    from infra.contracts.search import HOST_NAME
    from infra.contracts.step import Step

from workflows.operation import Operation
from workflows.saga import HERE, Saga, execute

RETRY, ABORT = "retry", "abort"


class Build(Operation):
    good_end = "active"

    def __init__(self) -> None:
        super().__init__()
        self._parked: Step | None = None
        self._decision = ""
        self.tried: dict[str, str] = {}  # host -> why it could not
        self.host = ""  # of the newest attempt
        self._found_by = ""

    @workflow.update
    def decide(self, decision: str) -> str:
        """`retry` runs the parked step again, `abort` undoes the build. Returns the step's name."""
        self._decision = decision
        return self._parked.event if self._parked else ""

    @decide.validator
    def _may_decide(self, decision: str) -> None:
        if self._parked is None:
            raise ApplicationError("No step of this server's build is waiting for a decision.", type="NotParked")
        if decision not in (RETRY, ABORT):
            raise ApplicationError("The decision must be retry or abort.", type="BadDecision")

    def show_host(self) -> None:
        """Have Temporal find the build by its host: an event and two writes, of which the second is left out when the
        run ends with the same task."""
        if self.host != self._found_by:
            self._found_by = self.host
            workflow.upsert_search_attributes([HOST_NAME.value_set(self.host)])

    def parking(self, within: timedelta) -> Saga:
        """A saga that parks at a failed step, for as long as `within`."""
        return Saga(self.log, self.interrupted, self._park(within))

    def _park(self, within: timedelta) -> Callable[[Step], Awaitable[bool]]:
        async def park(step: Step) -> bool:
            """Hold everything as it is until somebody decides, or `within` is over. True: run the step again.

            Costs one timer, however long it lasts. The deadline moves by as much as the build was held."""
            self._parked, self._decision = step, ""
            self.show_host()
            since = workflow.now()
            marked = Step(event="park", start_time=since)
            where = ParkedAt(instance_id=self.instance_id, step=step.event, reason=step.details or "")
            await execute(Instance.park, where, HERE, marked)
            self._show()
            try:
                await workflow.wait_condition(lambda: bool(self._decision), timeout=within)
            except TimeoutError:
                self._decision = ABORT
            finally:
                self._parked = None
                self._deadline = self._deadline and self._deadline + (workflow.now() - since)
            await execute(Instance.unpark, where, HERE, marked)
            self._show()
            return self._decision == RETRY

        return park

    def _is_at_work(self) -> bool:
        return self._parked is None

    def _show(self) -> None:
        head = f"**parked** at {self._parked.summary}; decide: retry or abort\n\n" if self._parked else ""
        workflow.set_current_details(head + self.log.as_markdown())
