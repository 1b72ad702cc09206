"""reboot: soft lets the guest go down by itself, for a time; hard ends it. Both then start it anew."""

from typing import Annotated, Literal

from pydantic import BeforeValidator
from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.hypervisor import Hypervisor
    from infra.contracts.operation import ActionRequest, InstanceChange, InstanceFacts
    from infra.contracts.power import Reboot

from workflows.body import Body
from workflows.saga import Saga
from workflows.server_operation import ServerOperation


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


class RebootBody(Body):
    """Source: Compute API reference, "Reboot server"; the type in any case of letters."""

    type: Annotated[Literal["SOFT", "HARD"], BeforeValidator(_upper)]


@workflow.defn
class RebootInstance(ServerOperation):
    @workflow.run
    async def run(self, req: ActionRequest) -> None:
        await self.act(req, self.reboot)

    async def reboot(self, req: ActionRequest, server: InstanceFacts, saga: Saga) -> InstanceChange:
        rebooted = await saga.step(
            Hypervisor.reboot,
            Reboot(
                instance_id=server.instance_id,
                attempt=server.attempt,
                soft=req.body["type"] == "SOFT",
                request_id=req.requester.request_id,
            ),
            undo=None,  # the guest runs, or the step is repeated until it does
            at=self.host_of(server),
        )
        return InstanceChange(vm_state="active", power_state=rebooted.power_state)
