"""suspend: the guest's memory goes to its host's disk, and its share of the host's memory is free."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.hypervisor import Hypervisor
    from infra.contracts.guarded import Guarded
    from infra.contracts.operation import ActionRequest, InstanceChange, InstanceFacts

from workflows.saga import Saga
from workflows.server_operation import ServerOperation


@workflow.defn
class SuspendInstance(ServerOperation):
    @workflow.run
    async def run(self, req: ActionRequest) -> None:
        await self.act(req, self.suspend)

    async def suspend(self, req: ActionRequest, server: InstanceFacts, saga: Saga) -> InstanceChange:
        now = await saga.step(
            Hypervisor.suspend,
            Guarded(instance_id=server.instance_id, attempt=server.attempt),
            undo=Hypervisor.resume,
            at=self.host_of(server),
        )
        return InstanceChange(vm_state="suspended", power_state=now.power_state)
