"""A volume of a server is to go with the server when that is deleted, or to outlive it."""

from typing import Any

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.services import Services
    from infra.contracts.errors import hopeless
    from infra.contracts.operation import ActionRequest, InstanceChange, InstanceFacts
    from infra.contracts.volume import VolumeMark

from workflows.body import Body
from workflows.saga import Saga, control
from workflows.server_operation import ServerOperation


class UpdateAttachmentBody(Body):
    volume_id: str
    delete_on_termination: bool


@workflow.defn
class UpdateAttachment(ServerOperation):
    """Volumes that a build made carry a mark by which the audit removes what a deleted server left: it changes, too."""

    accepts_late = True

    @workflow.run
    async def run(self, req: ActionRequest) -> None:
        await self.act(req, self.update)

    async def update(self, req: ActionRequest, server: InstanceFacts, saga: Saga) -> InstanceChange:
        wish = UpdateAttachmentBody.model_validate(req.body)
        held: dict[str, Any] | None = next((v for v in server.volumes if v["volume_id"] == wish.volume_id), None)
        if held is None:
            raise hopeless(f"No volume Block Device Mapping with id {wish.volume_id}.", code=404)
        mark = VolumeMark(
            instance_id=server.instance_id,
            volume_id=wish.volume_id,
            goes=wish.delete_on_termination,
            went=bool(held.get("delete_on_termination")),
        )
        await saga.step(
            Services.mark_volume,
            mark,
            undo=Services.unmark_volume,
            at=control(),
        )
        changed = held | {"delete_on_termination": wish.delete_on_termination}
        return InstanceChange(volumes=[changed if volume is held else volume for volume in server.volumes])
