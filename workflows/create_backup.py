"""createBackup: an image of the server's disk, and the oldest of its kind go."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.image_record import ImageRecord
    from infra.contracts.operation import ActionRequest, InstanceChange, InstanceFacts
    from infra.contracts.snapshot import Rotation

from workflows.create_image import MakesImage
from workflows.saga import Saga, control


@workflow.defn
class CreateBackup(MakesImage):
    @workflow.run
    async def run(self, req: ActionRequest) -> None:
        await self.act(req, self.create_backup)

    async def create_backup(self, req: ActionRequest, server: InstanceFacts, saga: Saga) -> InstanceChange:
        kind = req.body["backup_type"]
        image = self.image_of(req, server, {**req.body.get("metadata", {}), "backup_type": kind})
        await self.make_image(image.model_copy(update={"image_type": "backup"}), req, server, saga)
        await saga.step(
            ImageRecord.rotate_backups,
            Rotation(
                token=req.requester.token,
                instance_id=server.instance_id,
                project_id=server.project_id,
                backup_type=kind,
                keep=req.body["rotation"],
            ),
            undo=None,  # what is too old goes with the next backup too
            at=control(),
        )
        return InstanceChange()
