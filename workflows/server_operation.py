"""An action on a server that exists: begin from a state of its row, do the steps, end, or put back what was."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, cast

from temporalio import workflow
from temporalio.exceptions import FailureError

with workflow.unsafe.imports_passed_through():
    from activities.instance import Instance
    from activities.later import Later
    from infra.contracts import patience
    from infra.contracts.later import Due
    from infra.contracts.operation import ActionEnd, ActionRequest, InstanceChange, InstanceFacts
    from infra.contracts.search import HOST_NAME
    from infra.contracts.step import Step

from workflows import metrics
from workflows.operation import Operation
from workflows.requests import Accepted, Fault
from workflows.saga import HERE, In, Place, Saga, control, execute, uncancelled

Steps = Callable[[ActionRequest, InstanceFacts, Saga], Awaitable[InstanceChange]]


class ServerOperation(Operation):
    """Subclasses call `act` from their `run` with the method that holds their steps, which returns what changed.

    A failure puts the server back to the states it had, and the reason into the event list; where the guest itself is
    lost, the steps set `lost`, and the server ends in ERROR with a fault."""

    counter = "kilonova_actions_total"
    accepts_late = False  # the steps call `accept` once what the answer names is there, or leave it to the end

    @workflow.init
    def __init__(self, req: ActionRequest) -> None:
        super().__init__()
        self.task_state = req.transition.doing  # a second operation may ask before `run` has its turn
        self.lost = False
        self.told: Accepted | None = None  # the answer, where it is given at the end and the steps alone know it
        self.server: InstanceFacts | None = None
        self._saga: Saga | None = None
        self._places: dict[str, Place] = {}  # by host: one that is given up is so for all steps there
        self._unless_undone: dict[str, Any] = {}
        self._leftovers: list[tuple[Callable[[Any, Any], object], Any, Place]] = []

    async def act(self, req: ActionRequest, steps: Steps) -> None:
        self.instance_id = req.instance_id
        deadline = timedelta(seconds=req.deadline_s)
        await self.carry_out(self._act(req, steps), deadline, lambda fault: self.put_back(req, fault))

    async def _act(self, req: ActionRequest, steps: Steps) -> None:
        self._saga = saga = self.saga()
        async with saga:
            server = await saga.step(
                Instance.begin_action,
                req,
                undo=None,  # `put_back` ends it
            )
            self.server = server
            if not server.over:
                self.require(req, server)
            if server.over or not self.accepts_late:
                self.accept(self.answer(req, server))
            if server.over:
                return
            change = await steps(req, server, saga)
            try:
                await saga.commit(Instance.end_action, self._end(req, change=change))
                if not self.is_accepted:
                    self.accept(self.told or self.answer(req, server))
            finally:
                await self._over(saga)
            saga.go_on(HERE)

    async def _over(self, saga: Saga) -> None:
        if saga.committed:
            await uncancelled(self._tidy())

    def afterwards(self, do: Callable[[Any, In], object], arg: In, at: Place) -> None:
        """Have `do` run once the record says that the operation succeeded: what the way back needed goes only then."""
        self._leftovers.append((do, arg, at))

    def begin_later(self, due: Due) -> None:
        """Once the record says that the operation succeeded, a timer has `due` begin: see workflows/later.py."""
        set_timer = cast(Callable[[Any, Due], None], Later.set_timer)  # a coroutine there
        self.afterwards(set_timer, due, control())

    def unless_undone(self, **columns: Any) -> None:
        """What the record is to show should the way back be given up: a delete, or the tenant, frees it later."""
        self._unless_undone = columns

    def left(self) -> dict[str, Any]:
        return self._unless_undone if self._saga is not None and self._saga.left else {}

    async def _tidy(self) -> None:
        for do, arg, at in self._leftovers:
            step = self.log.begin(do.__name__, at.host)
            try:
                await execute(do, arg, at, step, within=patience.FOR_AN_UNDO)
                self.log.succeed(step, None)
            except FailureError as error:
                self.log.fail(step, error)
                metrics.count(
                    "kilonova_leftovers_total", "Undos that were given up and left to the audit", step=do.__name__
                )

    def require(self, req: ActionRequest, server: InstanceFacts) -> None:
        """Raises Hopeless where the server has not, or no more, what the action is about: the client is told so."""

    @classmethod
    def answer(cls, req: ActionRequest, server: InstanceFacts) -> Accepted:
        """What the client is told; actions that make something say its id here, which follows from the request's."""
        return Accepted(instance_id=req.instance_id)

    def host_of(self, server: InstanceFacts) -> Place:
        """The server's host, which the operation watches from now on."""
        there = Place(queue=f"compute.{server.host}", host=server.host)
        self.place = self._places.setdefault(server.host, there)
        if workflow.info().typed_search_attributes.get(HOST_NAME) != server.host:
            workflow.upsert_search_attributes([HOST_NAME.value_set(server.host)])
        return self.place

    async def put_back(self, req: ActionRequest, fault: Fault) -> None:
        """The one place where an action fails: the server is as it was, unless the guest is lost."""
        before = self.server
        change = InstanceChange()  # begun or not: the record knows
        if before is not None:
            on_none = [] if before.host else ["host"]
            change = InstanceChange(
                vm_state=before.vm_state, power_state=before.power_state, cleared=on_none, **self.left()
            )
        end = self._end(req, change=change, error=fault.message, fault=fault if self.lost else None)
        step = Step(event="fail_action", start_time=workflow.now())
        await execute(Instance.fail_action, end, HERE, step)

    def _end(
        self, req: ActionRequest, *, change: InstanceChange, error: str | None = None, fault: Fault | None = None
    ) -> ActionEnd:
        return ActionEnd(
            instance_id=req.instance_id,
            request_id=req.requester.request_id,
            steps=self.log.report(),
            change=change,
            error=error,
            fault=fault,
        )
