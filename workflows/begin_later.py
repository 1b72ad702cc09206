"""The timer of a request that begins by itself: a resize that confirms itself, a shelved server that is offloaded."""

from collections.abc import Callable
from typing import Any, cast

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.later import Later
    from infra.contracts import patience
    from infra.contracts.later import Due
    from infra.contracts.step import Step

from workflows.later import numbered
from workflows.saga import HERE, In, Place, control, execute


@workflow.defn
class BeginLater:
    """Waits until the time has come, begins the request, and looks again, until the server is not any more what the
    cause made it: a request that came while another operation ran, or that failed, is begun once more.

    It runs beside the server's operations, under an id of its own, and holds nothing. To have an operation of yours
    begin later, see `workflows.later`."""

    @workflow.run
    async def run(self, due: Due) -> None:
        await workflow.sleep(max(0.0, (due.at - workflow.now()).total_seconds()))
        if not await self._step(Later.is_due, due, HERE):
            return
        begin = cast(Callable[[Any, Due], None], Later.begin_due)  # a coroutine there
        await self._step(begin, due, control())
        again = workflow.now() + patience.LATER_LOOKS_EVERY
        workflow.continue_as_new(numbered(due, due.tries + 1).model_copy(update={"at": again}))

    async def _step(self, do: Callable[[Any, In], Any], arg: In, at: Place) -> Any:
        return await execute(do, arg, at, Step(event=do.__name__, start_time=workflow.now()))
