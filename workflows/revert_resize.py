"""revertResize: the server is what it was before its resize; what was written since is lost."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.aside import Kept
    from activities.resize import Resize
    from activities.shape import Shape
    from infra.contracts.operation import ActionRequest, InstanceChange, InstanceFacts
    from infra.contracts.resize import Migration, ResizeClaim, ShapeOnHost

from workflows.arriving import require_volumes
from workflows.moving import move_back
from workflows.resizing import as_it_was, aside_of, columns_of, migration_of
from workflows.saga import Saga
from workflows.server_operation import ServerOperation


@workflow.defn
class RevertResize(ServerOperation):
    """Only goes forward: a revert that failed is asked for once more, and `check_shape` keeps what is half way from
    being confirmed."""

    @workflow.run
    async def run(self, req: ActionRequest) -> None:
        await self.act(req, self.revert)

    async def revert(self, req: ActionRequest, server: InstanceFacts, saga: Saga) -> InstanceChange:
        migration = migration_of(server)
        await require_volumes(req, server, saga)
        if migration.source not in ("", server.host):
            power_state = await move_back(
                self, server, as_it_was(server, migration), saga, runs=migration.old_vm_state == "active"
            )
        else:
            power_state = await self.bring_back(server, migration, saga)
        await saga.step(
            Resize.revert_claim,
            ResizeClaim(instance_id=server.instance_id, requester=req.requester, migration=migration),
            undo=None,  # the guest has its old flavor by now
        )
        return InstanceChange(
            vm_state=migration.old_vm_state,
            power_state=power_state,
            local_disks=migration.old_local_disks,
            **columns_of(migration.old_flavor),
        )

    async def bring_back(self, server: InstanceFacts, migration: Migration, saga: Saga) -> int:
        """On its own host; the power state."""
        host = self.host_of(server)
        await saga.step(
            Kept.bring_back,
            aside_of(server, migration),
            undo=None,  # see above
            at=host,
        )
        shape = await saga.step(
            Shape.check_shape,
            ShapeOnHost(instance_id=server.instance_id, attempt=server.attempt, flavor=migration.old_flavor),
            undo=None,  # reads only
            at=host,
        )
        return shape.power_state
