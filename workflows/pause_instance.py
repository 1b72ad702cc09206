"""pause: the guest stands still, in memory."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.hypervisor import Hypervisor
    from infra.contracts.guarded import Guarded
    from infra.contracts.operation import ActionRequest, InstanceChange, InstanceFacts

from workflows.saga import Saga
from workflows.server_operation import ServerOperation


@workflow.defn
class PauseInstance(ServerOperation):
    @workflow.run
    async def run(self, req: ActionRequest) -> None:
        await self.act(req, self.pause)

    async def pause(self, req: ActionRequest, server: InstanceFacts, saga: Saga) -> InstanceChange:
        now = await saga.step(
            Hypervisor.pause,
            Guarded(instance_id=server.instance_id, attempt=server.attempt),
            undo=Hypervisor.unpause,
            at=self.host_of(server),
        )
        return InstanceChange(vm_state="paused", power_state=now.power_state)
