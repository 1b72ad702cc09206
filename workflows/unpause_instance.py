"""unpause: the guest goes on where it stood."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.hypervisor import Hypervisor
    from infra.contracts.guarded import Guarded
    from infra.contracts.operation import ActionRequest, InstanceChange, InstanceFacts

from workflows.saga import Saga
from workflows.server_operation import ServerOperation


@workflow.defn
class UnpauseInstance(ServerOperation):
    @workflow.run
    async def run(self, req: ActionRequest) -> None:
        await self.act(req, self.unpause)

    async def unpause(self, req: ActionRequest, server: InstanceFacts, saga: Saga) -> InstanceChange:
        now = await saga.step(
            Hypervisor.unpause,
            Guarded(instance_id=server.instance_id, attempt=server.attempt),
            undo=Hypervisor.pause,
            at=self.host_of(server),
        )
        return InstanceChange(vm_state="active", power_state=now.power_state)
