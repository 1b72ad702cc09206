"""os-stop: the guest is asked to shut itself down, and ended when it does not in time."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.hypervisor import Hypervisor
    from infra.contracts.operation import ActionRequest, InstanceChange, InstanceFacts
    from infra.contracts.power import PowerOff

from workflows.saga import Saga
from workflows.server_operation import ServerOperation


@workflow.defn
class StopInstance(ServerOperation):
    @workflow.run
    async def run(self, req: ActionRequest) -> None:
        await self.act(req, self.stop)

    async def stop(self, req: ActionRequest, server: InstanceFacts, saga: Saga) -> InstanceChange:
        stopped = await saga.step(
            Hypervisor.power_off,
            PowerOff(instance_id=server.instance_id, attempt=server.attempt),
            undo=None,  # a guest that went down is not started again behind its owner's back: events tell its state
            at=self.host_of(server),
        )
        return InstanceChange(vm_state="stopped", power_state=stopped.power_state)
