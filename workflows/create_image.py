"""createImage: an image of the server's disk, which becomes active, or is gone again."""

from typing import Annotated

from pydantic import BeforeValidator, Field, StringConstraints
from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.agent import Agent
    from activities.image_record import ImageRecord
    from activities.snapshot import Snapshot
    from infra.contracts.operation import ActionRequest, InstanceChange, InstanceFacts
    from infra.contracts.properties import is_true
    from infra.contracts.snapshot import ImageToBe, SnapshotOnHost, image_id_of

from workflows.body import Body
from workflows.fields import Metadata, Name, not_bool
from workflows.requests import Accepted
from workflows.saga import Saga, control
from workflows.server_operation import ServerOperation
from workflows.volume_image import still_of, volume_image, volume_snapshots


class CreateImageBody(Body):
    """Source: Compute API reference, "Create Image"."""

    name: Name
    metadata: Metadata = {}


class CreateBackupBody(Body):
    """Source: Compute API reference, "Create Server Back Up"."""

    name: Name
    backup_type: Annotated[str, StringConstraints(min_length=1, max_length=255)]
    rotation: Annotated[int, BeforeValidator(not_bool), Field(ge=0, le=0x7FFFFFFF)]
    metadata: Metadata = {}


def id_of(req: ActionRequest) -> str:
    return image_id_of(req.instance_id, req.requester.request_id)


class MakesImage(ServerOperation):
    """What createImage, createBackup and shelve have in common."""

    accepts_late = True  # clients look for the image as soon as they know its id

    @classmethod
    def answer(cls, req: ActionRequest, server: InstanceFacts) -> Accepted:
        return Accepted(instance_id=req.instance_id, answer={"image_id": id_of(req)})

    async def make_image(self, image: ImageToBe, req: ActionRequest, server: InstanceFacts, saga: Saga) -> None:
        await self.begin_image(image, req, server, saga)
        await self.fill_image(image, server, saga)

    async def begin_image(self, image: ImageToBe, req: ActionRequest, server: InstanceFacts, saga: Saga) -> None:
        await saga.step(
            ImageRecord.create_image,
            image,
            undo=ImageRecord.drop_image,
            at=control(),
        )
        self.accept(self.answer(req, server))

    async def fill_image(self, image: ImageToBe, server: InstanceFacts, saga: Saga) -> None:
        copy = SnapshotOnHost(
            instance_id=server.instance_id,
            attempt=server.attempt,
            image_id=image.image_id,
            quiesce=is_true(server.image_properties, "os_require_quiesce"),
        )
        host = self.host_of(server)
        await saga.step(
            Snapshot.take_snapshot,
            copy,
            undo=Snapshot.remove_snapshot,
            at=host,
        )
        await saga.step(
            Snapshot.upload_snapshot,
            copy,
            undo=None,  # an image that is active stays; `drop_image` takes any other
            at=host,
        )
        await saga.step(
            Snapshot.remove_snapshot,
            copy,
            undo=None,  # the copy is in the image
            at=host,
        )

    def image_of(self, req: ActionRequest, server: InstanceFacts, properties: dict[str, str]) -> ImageToBe:
        return ImageToBe(
            image_id=id_of(req),
            instance_id=server.instance_id,
            project_id=server.project_id,
            user_id=req.requester.user_id,
            name=req.body["name"],
            base_image_id=server.image_id,
            min_disk=server.flavor.disk if server.flavor else 0,
            properties=properties,
        )


@workflow.defn
class CreateImage(MakesImage):
    @workflow.run
    async def run(self, req: ActionRequest) -> None:
        await self.act(req, self.create_image)

    async def create_image(self, req: ActionRequest, server: InstanceFacts, saga: Saga) -> InstanceChange:
        if not server.image_id:
            await self.point_to_volumes(req, server, saga)
            return InstanceChange()
        image = self.image_of(req, server, req.body.get("metadata", {}))
        await self.make_image(image, req, server, saga)
        return InstanceChange()

    async def point_to_volumes(self, req: ActionRequest, server: InstanceFacts, saga: Saga) -> None:
        """Of a server that boots from a volume: an image without data that names a snapshot of each of its volumes."""
        snapshots, host = volume_snapshots(req, server), self.host_of(server)
        empty = {"min_disk": 0, "disk_format": "raw"}  # no data is no qcow2
        image = self.image_of(req, server, volume_image(req, server, snapshots)).model_copy(update=empty)
        still = still_of(server)
        await saga.step(
            ImageRecord.require_snapshot_room,
            snapshots,
            undo=None,  # reads only
            at=control(),
        )
        await saga.step(
            ImageRecord.create_image,
            image,
            undo=ImageRecord.drop_image,
            at=control(),
        )
        if server.vm_state == "active":
            await saga.step(
                Agent.hold_still,
                still,
                undo=Agent.thaw,
                at=host,
            )
        await saga.step(
            ImageRecord.snapshot_volumes,
            snapshots,
            undo=ImageRecord.drop_volume_snapshots,
            at=control(),
        )
        if server.vm_state == "active":
            await saga.step(
                Agent.let_go,
                still,
                undo=None,  # the guest goes on
                at=host,
            )
        self.accept(self.answer(req, server))
        await saga.step(
            ImageRecord.fill_empty_image,
            image,
            undo=None,  # an image that is active stays, and so do its snapshots
            at=control(),
        )
