"""resize: the server gets another flavor, on its host or on one that has room for it, and keeps the way back until it
is confirmed or reverted."""

from datetime import timedelta
from uuid import UUID, uuid5

from pydantic import BaseModel, Field
from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.aside import Kept
    from activities.hypervisor import Hypervisor
    from activities.resize import Resize
    from activities.shape import Shape
    from infra.contracts.aside import Aside
    from infra.contracts.hypervisor import FlavorFacts
    from infra.contracts.local_disks import LocalDisk
    from infra.contracts.operation import ActionRequest, InstanceChange, InstanceFacts
    from infra.contracts.power import PowerOn
    from infra.contracts.resize import Migration, ResizeClaim, ResizeClaimed, ShapeOnHost

from workflows.body import Body
from workflows.confirm_resize import ConfirmResize
from workflows.fields import FlavorRef
from workflows.later import due_after
from workflows.moving import ALTERNATES, Moves, claimed_on
from workflows.resizing import CONFIRM, aside_of, columns_of
from workflows.saga import Saga


class ResizeBody(Body):
    """Source: Compute API reference, "Resize Server"."""

    flavorRef: FlavorRef
    disk_config: str = Field("MANUAL", alias="OS-DCF:diskConfig", pattern="^(AUTO|MANUAL)$")


class NewFlavor(BaseModel):
    """A checked resize. `same_host`: whether the server may stay where it is."""

    flavor: FlavorFacts
    local_disks: list[LocalDisk] = []
    disk_config: str | None = None
    quota: dict[str, int] = {}
    confirm_after_s: float = 0  # it confirms itself after so long; 0: never
    same_host: bool = True


@workflow.defn
class ResizeInstance(Moves):
    accepts_late = True  # over quota, or no room: the client is told at once

    @workflow.run
    async def run(self, req: ActionRequest) -> None:
        await self.act(req, self.resize)

    async def resize(self, req: ActionRequest, server: InstanceFacts, saga: Saga) -> InstanceChange:
        wish = NewFlavor.model_validate(req.body)
        assert server.flavor is not None
        migration = Migration(
            id=str(uuid5(UUID(server.instance_id), f"migration/{req.requester.request_id}")),
            request_id=req.requester.request_id,
            old_flavor=server.flavor,
            new_flavor=wish.flavor,
            old_vm_state=server.vm_state,
            old_local_disks=server.local_disks,
        )
        wanted = ResizeClaim(
            instance_id=server.instance_id,
            requester=req.requester,
            migration=migration,
            quota=wish.quota,
            same_host=wish.same_host,
            carries=req.steps_of >= ALTERNATES,
        )
        claimed: ResizeClaimed | None = await saga.step(
            Resize.claim_resize,
            wanted,
            undo=Resize.release_resize,
        )
        self.accept(self.answer(req, server))
        if claimed is None or claimed.host == server.host:  # None: of a release that knew its own host alone
            change = await self.reshape(server, wish, aside_of(server, migration), saga)
        else:
            shape = {"flavor": wish.flavor, "local_disks": wish.local_disks}
            there = claimed_on(server.model_copy(update=shape), claimed)
            change = await self.move(req, server, there, wanted, saga)
        if wish.confirm_after_s:
            confirm = ActionRequest(
                requester=req.requester, instance_id=server.instance_id, action="confirmResize", transition=CONFIRM
            )
            delay = timedelta(seconds=wish.confirm_after_s)
            self.begin_later(due_after(req, "resized", delay, ConfirmResize, confirm))
        kept = {"disk_config": wish.disk_config, **columns_of(wish.flavor), "local_disks": wish.local_disks}
        return change.model_copy(update={"vm_state": "resized", **kept})

    async def reshape(self, server: InstanceFacts, wish: NewFlavor, before: Aside, saga: Saga) -> InstanceChange:
        """On its own host."""
        host = self.host_of(server)
        power_state = (
            await saga.step(
                Kept.set_aside,
                before,
                undo=Kept.bring_back,
                at=host,
            )
        ).power_state
        await saga.step(
            Shape.reshape,
            ShapeOnHost(
                instance_id=server.instance_id,
                attempt=server.attempt,
                flavor=wish.flavor,
                local_disks=wish.local_disks,
            ),
            undo=None,  # `bring_back` puts definition and disk back
            at=host,
        )
        if before.runs:
            started = await saga.step(
                Hypervisor.power_on,
                PowerOn(instance_id=server.instance_id, attempt=server.attempt),
                undo=None,  # `bring_back` ends it
                at=host,
            )
            power_state = started.power_state
        return InstanceChange(power_state=power_state)
