"""os-start: the guest runs again as it was, its ports plugged and its volumes attached."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.hypervisor import Hypervisor
    from infra.contracts.operation import ActionRequest, InstanceChange, InstanceFacts
    from infra.contracts.power import PowerOn

from workflows.saga import Saga
from workflows.server_operation import ServerOperation


@workflow.defn
class StartInstance(ServerOperation):
    @workflow.run
    async def run(self, req: ActionRequest) -> None:
        await self.act(req, self.start)

    async def start(self, req: ActionRequest, server: InstanceFacts, saga: Saga) -> InstanceChange:
        started = await saga.step(
            Hypervisor.power_on,
            PowerOn(instance_id=server.instance_id, attempt=server.attempt),
            undo=None,  # a guest that runs is what was asked for, even when its record could not say so in time
            at=self.host_of(server),
        )
        return InstanceChange(vm_state="active", power_state=started.power_state)
