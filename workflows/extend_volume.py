"""A volume of a server has grown: a guest that runs is given the new size of its disk."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.hypervisor import Hypervisor
    from activities.services import Services
    from infra.contracts.errors import hopeless
    from infra.contracts.operation import ActionRequest, InstanceChange, InstanceFacts
    from infra.contracts.volume import DiskSize, VolumeHeld

from workflows.body import Body
from workflows.saga import Saga, control
from workflows.server_operation import ServerOperation


class ExtendVolumeBody(Body):
    volume_id: str


@workflow.defn
class ExtendVolume(ServerOperation):
    @workflow.run
    async def run(self, req: ActionRequest) -> None:
        await self.act(req, self.extend)

    async def extend(self, req: ActionRequest, server: InstanceFacts, saga: Saga) -> InstanceChange:
        wish = ExtendVolumeBody.model_validate(req.body)
        held = next((v for v in server.volumes if v["volume_id"] == wish.volume_id), None)
        if held is None:
            raise hopeless(f"No volume Block Device Mapping with id {wish.volume_id}.", code=404)
        seen = await saga.step(
            Services.look_at_volume,
            VolumeHeld(instance_id=server.instance_id, volume_id=wish.volume_id),
            undo=None,  # reads only
            at=control(),
        )
        await saga.step(
            Hypervisor.grow_disk,
            DiskSize(
                instance_id=server.instance_id,
                attempt=server.attempt,
                volume_id=wish.volume_id,
                size_gb=seen.size_gb,
                device=str(held.get("device") or "").removeprefix("/dev/"),
            ),
            undo=None,  # the volume is larger whatever becomes of this, and no disk gets smaller under its guest
            at=self.host_of(server),
        )
        grown = held | {"size_gb": seen.size_gb}
        return InstanceChange(volumes=[grown if volume is held else volume for volume in server.volumes])
