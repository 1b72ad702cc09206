"""A volume is detached from a server: the guest gives it back, then its attachment ends."""

from typing import Any

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.hypervisor import Hypervisor
    from activities.services import Services
    from activities.volume import Volume
    from infra.contracts.errors import hopeless
    from infra.contracts.operation import ActionRequest, InstanceChange, InstanceFacts
    from infra.contracts.volume import DiskOnGuest, VolumeConnection, VolumeOnGuest, VolumeRequest, VolumesOnHost

from workflows.body import Body
from workflows.outliving import goes, outlives
from workflows.saga import Saga, control
from workflows.server_operation import ServerOperation
from workflows.volume_device import held_by_service


class DetachVolumeBody(Body):
    volume_id: str


@workflow.defn
class DetachVolume(ServerOperation):
    @workflow.run
    async def run(self, req: ActionRequest) -> None:
        await self.act(req, self.detach)

    def require(self, req: ActionRequest, server: InstanceFacts) -> None:
        _held(req, server)

    async def detach(self, req: ActionRequest, server: InstanceFacts, saga: Saga) -> InstanceChange:
        held = _held(req, server)
        volume = VolumeRequest.model_validate(held)
        kept = volume.model_copy(update={"create": False, "delete_on_termination": False})
        change = InstanceChange(volumes=[v for v in server.volumes if v["volume_id"] != volume.volume_id])
        if not server.host:
            if goes(held):
                await outlives(server, held, saga)
            await saga.step(
                Services.release_services,
                held_by_service(server, volume),
                undo=None,  # what was given back stays out
                at=control(),
            )
            return change
        host = self.host_of(server)
        guarded: dict[str, Any] = {"instance_id": server.instance_id, "attempt": server.attempt}
        if req.steps_of >= 1 and not goes(held):
            await saga.step(
                Volume.take_volume,
                VolumeOnGuest(**guarded, project_id=server.project_id, volume=kept),
                undo=None,  # what the guest gave back stays out; asked for again, the detach goes on here
                at=host,
            )
            return change
        device = (volume.device or "").removeprefix("/dev/")
        out = VolumeConnection(volume_id=volume.volume_id, attachment_id=volume.attachment_id, device=device)
        await saga.step(
            Hypervisor.unplug_disk,
            DiskOnGuest(**guarded, volume=out),
            undo=None,  # as above
            at=host,
        )
        if goes(held) and workflow.patched("outlives-its-server"):
            await outlives(server, held, saga)
        await saga.step(
            Volume.detach_volumes,
            VolumesOnHost(**guarded, project_id=server.project_id, volumes=[kept]),
            undo=None,  # the guest has it no more
            at=host,
        )
        return change


def _held(req: ActionRequest, server: InstanceFacts) -> dict[str, Any]:
    """Raises Hopeless (404) where a detach that came before took it away."""
    wanted = req.body["volume_id"]
    held: dict[str, Any] | None = next((v for v in server.volumes if v["volume_id"] == wanted), None)
    if held is None:
        raise hopeless(f"Instance {server.instance_id} is not attached to volume {wanted}", code=404)
    return held
