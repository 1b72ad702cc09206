"""confirmResize: the server stays what it has become, and the way back goes."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.aside import Kept
    from activities.hypervisor import Hypervisor
    from activities.resize import Resize
    from activities.shape import Shape
    from infra.contracts.hypervisor import InstanceRef
    from infra.contracts.operation import ActionRequest, InstanceChange, InstanceFacts
    from infra.contracts.power_states import RUNNING
    from infra.contracts.resize import ResizeClaim, ShapeOnHost

from workflows.resizing import aside_of, migration_of
from workflows.saga import Place, Saga
from workflows.server_operation import ServerOperation


@workflow.defn
class ConfirmResize(ServerOperation):
    @workflow.run
    async def run(self, req: ActionRequest) -> None:
        await self.act(req, self.confirm)

    async def confirm(self, req: ActionRequest, server: InstanceFacts, saga: Saga) -> InstanceChange:
        migration = migration_of(server)
        host = self.host_of(server)
        shape = await saga.step(
            Shape.check_shape,
            ShapeOnHost(instance_id=server.instance_id, attempt=server.attempt, flavor=migration.new_flavor),
            undo=None,  # reads only
            at=host,
        )
        await saga.step(
            Resize.confirm_claim,
            ResizeClaim(instance_id=server.instance_id, requester=req.requester, migration=migration),
            undo=None,  # it may be confirmed once more
        )
        if migration.source:
            source = Place(queue=f"compute.{migration.source}", host=migration.source)
            if await self.is_up(source.host):  # else it undoes what it no longer has a claim to, once it is back
                self.afterwards(Hypervisor.clean_up, InstanceRef(instance_id=server.instance_id), source)
        else:
            self.afterwards(Kept.forget_aside, aside_of(server, migration), host)
        runs = shape.power_state == RUNNING
        return InstanceChange(vm_state="active" if runs else "stopped", power_state=shape.power_state)
