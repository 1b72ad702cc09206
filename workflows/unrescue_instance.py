"""unrescue: the guest is what it was before its rescue, and starts from its own disk."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.aside import Kept
    from activities.rescue import Rescue
    from infra.contracts.operation import ActionRequest, InstanceChange, InstanceFacts
    from infra.contracts.power_states import RUNNING
    from infra.contracts.rescue import RescueDisk

from workflows.arriving import require_volumes
from workflows.rescue_instance import kept_for_rescue
from workflows.saga import Saga
from workflows.server_operation import ServerOperation


@workflow.defn
class UnrescueInstance(ServerOperation):
    """Only goes forward: one that failed is asked for once more."""

    @workflow.run
    async def run(self, req: ActionRequest) -> None:
        await self.act(req, self.unrescue)

    async def unrescue(self, req: ActionRequest, server: InstanceFacts, saga: Saga) -> InstanceChange:
        host = self.host_of(server)
        await require_volumes(req, server, saga)
        await saga.step(
            Kept.bring_back,
            kept_for_rescue(server, runs=True),
            undo=None,  # see above
            at=host,
        )
        disk = RescueDisk(instance_id=server.instance_id, attempt=server.attempt)
        self.afterwards(Rescue.remove_rescue_disk, disk, host)
        return InstanceChange(vm_state="active", power_state=RUNNING)
