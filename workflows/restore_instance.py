"""restore: a server that was deleted softly runs again."""

from pydantic import BaseModel
from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.hypervisor import Hypervisor
    from activities.instance import Instance
    from infra.contracts.instance import RoomWanted
    from infra.contracts.operation import ActionRequest, InstanceChange, InstanceFacts
    from infra.contracts.power import PowerOff

from workflows.saga import Saga
from workflows.server_operation import ServerOperation


class Restoring(BaseModel):
    """A checked restore. `quota`: limits in force, instances, cores and ram."""

    quota: dict[str, int] = {}


@workflow.defn
class RestoreInstance(ServerOperation):
    accepts_late = True  # over quota: the client is told at once

    @workflow.run
    async def run(self, req: ActionRequest) -> None:
        await self.act(req, self.restore)

    async def restore(self, req: ActionRequest, server: InstanceFacts, saga: Saga) -> InstanceChange:
        wish = Restoring.model_validate(req.body)
        await saga.step(
            Instance.require_room,
            RoomWanted(instance_id=server.instance_id, quota=wish.quota),
            undo=None,  # reads only
        )
        self.accept(self.answer(req, server))
        started = await saga.step(
            Hypervisor.power_on,
            PowerOff(instance_id=server.instance_id, attempt=server.attempt, timeout_s=0),
            undo=Hypervisor.power_off,
            at=self.host_of(server),
        )
        return InstanceChange(vm_state="active", power_state=started.power_state)
