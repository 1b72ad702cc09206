"""A volume is attached to a server that exists: reserved and connected, then put into the guest."""

from typing import Any

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.hypervisor import Hypervisor
    from activities.services import Services
    from activities.volume import Volume
    from infra.contracts.operation import ActionRequest, InstanceChange, InstanceFacts
    from infra.contracts.volume import DiskOnGuest, VolumeOnGuest, VolumeRequest, VolumesOnHost, bus_of_volume

from workflows.body import Body
from workflows.requests import Accepted
from workflows.saga import Saga, control
from workflows.server_operation import ServerOperation
from workflows.volume_device import device_for, held_by_service


class AttachVolumeBody(Body):
    """What the route made of its body; `attachment_id` is chosen there."""

    volume_id: str
    attachment_id: str
    device: str | None = None
    tag: str | None = None
    delete_on_termination: bool = False
    size_gb: int = 0  # as the volume service has it


@workflow.defn
class AttachVolume(ServerOperation):
    @workflow.run
    async def run(self, req: ActionRequest) -> None:
        await self.act(req, self.attach)

    @classmethod
    def answer(cls, req: ActionRequest, server: InstanceFacts) -> Accepted:
        known = next((v for v in server.volumes if v.get("attachment_id") == req.body["attachment_id"]), None)
        device = known["device"] if known else device_for(server, req.body["volume_id"], req.body.get("device"))
        return Accepted(instance_id=req.instance_id, answer={"device": device})

    async def attach(self, req: ActionRequest, server: InstanceFacts, saga: Saga) -> InstanceChange:
        held: dict[str, Any] = {"instance_id": server.instance_id, "attempt": server.attempt}
        device = device_for(server, req.body["volume_id"], req.body.get("device"))
        wanted = VolumeRequest(**{**req.body, "device": device, "bus": bus_of_volume(server.image_properties)})
        made: dict[str, Any] = wanted.model_dump()
        self.unless_undone(volumes=[*server.volumes, made])
        if not server.host:
            await saga.step(
                Services.reserve_named,
                held_by_service(server, wanted).model_copy(update={"in_use": True}),
                undo=Services.release_services,
                at=control(),
            )
            return InstanceChange(volumes=[*server.volumes, made])
        host = self.host_of(server)
        if req.steps_of >= 1:
            await saga.step(
                Volume.give_volume,
                VolumeOnGuest(**held, project_id=server.project_id, volume=wanted),
                undo=Volume.take_volume_back,
                at=host,
            )
            return InstanceChange(volumes=[*server.volumes, made])
        attached = await saga.step(
            Volume.attach_volumes,
            VolumesOnHost(**held, project_id=server.project_id, volumes=[wanted]),
            undo=Volume.detach_volumes,
            at=host,
        )
        await saga.step(
            Hypervisor.plug_disk,
            DiskOnGuest(**held, volume=attached.volumes[0]),
            undo=Hypervisor.unplug_disk,
            at=host,
        )
        return InstanceChange(volumes=[*server.volumes, made])
