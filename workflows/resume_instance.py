"""resume: the guest goes on from the memory that was written to disk."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.hypervisor import Hypervisor
    from infra.contracts.guarded import Guarded
    from infra.contracts.operation import ActionRequest, InstanceChange, InstanceFacts

from workflows.saga import Saga
from workflows.server_operation import ServerOperation


@workflow.defn
class ResumeInstance(ServerOperation):
    @workflow.run
    async def run(self, req: ActionRequest) -> None:
        await self.act(req, self.resume)

    async def resume(self, req: ActionRequest, server: InstanceFacts, saga: Saga) -> InstanceChange:
        now = await saga.step(
            Hypervisor.resume,
            Guarded(instance_id=server.instance_id, attempt=server.attempt),
            undo=Hypervisor.suspend,
            at=self.host_of(server),
        )
        return InstanceChange(vm_state="active", power_state=now.power_state)
