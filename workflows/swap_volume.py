"""Another volume takes the place of one that a server has, with the same bytes: the guest goes on meanwhile."""

from typing import Any

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.hypervisor import Hypervisor
    from activities.services import Services
    from activities.volume import Volume
    from infra.contracts.errors import hopeless
    from infra.contracts.operation import ActionRequest, InstanceChange, InstanceFacts
    from infra.contracts.volume import DiskSize, DiskSwap, VolumeConnection, VolumeHeld, VolumeRequest, VolumesOnHost

from workflows.body import Body
from workflows.outliving import goes, outlives
from workflows.saga import Saga, control
from workflows.server_operation import ServerOperation


class SwapVolumeBody(Body):
    """What the route made of its body; `attachment_id` is chosen there. `delete_on_termination`: None leaves it."""

    volume_id: str
    new_volume_id: str
    attachment_id: str
    delete_on_termination: bool | None = None


@workflow.defn
class SwapVolume(ServerOperation):
    """A failure while the copy is made leaves the server with the old volume. Once the guest goes on with the new one
    there is no way back: should the old one not be given back then, the server has both, on the record, too."""

    @workflow.init
    def __init__(self, req: ActionRequest) -> None:
        super().__init__(req)
        self._has: list[dict[str, Any]] | None = None  # volumes, once the guest is on the new one

    @workflow.run
    async def run(self, req: ActionRequest) -> None:
        await self.act(req, self.swap)

    def left(self) -> dict[str, Any]:
        return super().left() if self._has is None else {"volumes": self._has}

    def require(self, req: ActionRequest, server: InstanceFacts) -> None:
        _both(server, SwapVolumeBody.model_validate(req.body))

    async def swap(self, req: ActionRequest, server: InstanceFacts, saga: Saga) -> InstanceChange:
        wish, host = SwapVolumeBody.model_validate(req.body), self.host_of(server)
        old, new = _both(server, wish)
        self.unless_undone(volumes=[*server.volumes, new | {"device": None}])
        had = await saga.step(
            Volume.attach_volumes,
            _on_host(server, old).model_copy(update={"held": True}),
            undo=None,  # it is the server's, attached before
            at=host,
        )
        has = await saga.step(
            Volume.attach_volumes,
            _on_host(server, new),
            undo=Volume.detach_volumes,
            at=host,
        )
        if goes(old):
            await outlives(server, old, saga)
        both = {"old": had.volumes[0], "new": has.volumes[0]}
        await saga.step(
            Hypervisor.swap_disk,
            DiskSwap(instance_id=server.instance_id, attempt=server.attempt, **both),
            undo=Hypervisor.swap_disk_back,
            at=host,
        )
        saga.no_way_back()
        volumes = [new if volume["volume_id"] == wish.volume_id else volume for volume in server.volumes]
        self._has = [*volumes, old | {"device": None, "delete_on_termination": False}]
        await saga.step(
            Volume.detach_volumes,
            _on_host(server, old),
            undo=None,  # the guest has the other one
            at=host,
        )
        self._has = volumes
        if workflow.patched("swap-to-larger"):
            size = await self._grow(server, has.volumes[0], saga)
            volumes = [v | {"size_gb": size} if v["volume_id"] == wish.new_volume_id else v for v in volumes]
        return InstanceChange(volumes=volumes)

    async def _grow(self, server: InstanceFacts, disk: VolumeConnection, saga: Saga) -> int:
        """The guest sees as much of the new volume as the old one had, until it is told of the rest."""
        seen = await saga.step(
            Services.look_at_volume,
            VolumeHeld(instance_id=server.instance_id, volume_id=disk.volume_id),
            undo=None,  # reads only
            at=control(),
        )
        held = {"instance_id": server.instance_id, "attempt": server.attempt}
        await saga.step(
            Hypervisor.grow_disk,
            DiskSize(**held, volume_id=disk.volume_id, size_gb=seen.size_gb, device=disk.device),
            undo=None,  # the volume is larger whatever becomes of this
            at=self.host_of(server),
        )
        return seen.size_gb


def _both(server: InstanceFacts, wish: SwapVolumeBody) -> tuple[dict[str, Any], dict[str, Any]]:
    """The volume as the record has it, and as it will have the one in its place."""
    old = next((volume for volume in server.volumes if volume["volume_id"] == wish.volume_id), None)
    if old is None:
        raise hopeless(f"No volume Block Device Mapping with id {wish.volume_id}.", code=404)
    if any(volume["volume_id"] == wish.new_volume_id for volume in server.volumes):
        raise hopeless(f"Invalid volume: volume {wish.new_volume_id} already attached", code=400)
    ends_with_it = wish.delete_on_termination
    if ends_with_it is None:
        ends_with_it = bool(old.get("delete_on_termination"))
    new = VolumeRequest(
        volume_id=wish.new_volume_id,
        attachment_id=wish.attachment_id,
        device=old.get("device"),
        boot_index=old.get("boot_index"),
        tag=old.get("tag"),
        bus=old.get("bus") or "",
        delete_on_termination=ends_with_it,
    )
    return old, new.model_dump()


def _on_host(server: InstanceFacts, volume: dict[str, Any]) -> VolumesOnHost:
    """To be attached or let go, never made or deleted, whoever made it."""
    kept = VolumeRequest.model_validate({**volume, "create": False, "delete_on_termination": False})
    return VolumesOnHost(
        instance_id=server.instance_id, project_id=server.project_id, volumes=[kept], attempt=server.attempt
    )
