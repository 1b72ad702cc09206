"""rebuild: the server begins anew from an image; its id, addresses, ports and volumes stay. The volume that it boots
from is given the image (2.93), or stays as it is."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, StringConstraints
from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.aside import Kept
    from activities.hypervisor import Hypervisor
    from activities.image import Image
    from activities.instance import Instance
    from activities.services import Services
    from activities.volume import Volume
    from infra.contracts.aside import Aside
    from infra.contracts.hypervisor import DomainSpec, GuestConfig
    from infra.contracts.image import DiskOnHost, ImageOnHost
    from infra.contracts.instance import InstanceRef
    from infra.contracts.network import Plugged, networks_now
    from infra.contracts.operation import ActionRequest, InstanceChange, InstanceFacts
    from infra.contracts.power import PowerOff
    from infra.contracts.volume import Attached, VolumeReimage

from workflows.arriving import require_volumes
from workflows.body import Body, Since
from workflows.fields import (
    AddressV4,
    AddressV6,
    Base64,
    Boolean,
    Description,
    ImageRef,
    InjectedFileBody,
    Metadata,
    Name,
    TrustedCertificates,
)
from workflows.from_records import connected
from workflows.inputs import domain_of, volumes_of
from workflows.requests import Accepted
from workflows.saga import Place, Saga, control
from workflows.server_operation import ServerOperation

Hostname = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"^[a-zA-Z0-9\-._]*$")]


class RebuildBody(Body):
    """Source: Compute API reference, "Rebuild Server"."""

    imageRef: ImageRef
    adminPass: str = ""
    name: Name = ""
    metadata: Metadata = {}
    preserve_ephemeral: Boolean = False
    disk_config: Literal["AUTO", "MANUAL"] = Field("MANUAL", alias="OS-DCF:diskConfig")
    personality: Annotated[list[InjectedFileBody], Since(1, 56)] = []
    accessIPv4: AddressV4 = ""
    accessIPv6: AddressV6 = ""
    description: Annotated[Description | None, Since(19)] = None
    key_name: Annotated[Name | None, Since(54)] = None
    user_data: Annotated[Base64 | None, Since(57)] = None
    trusted_image_certificates: Annotated[TrustedCertificates | None, Since(63)] = None
    hostname: Annotated[Hostname, Since(90)] = ""


class Rebuild(BaseModel):
    """A checked rebuild. `columns` are those of the record that change, `told` is what of the guest's own facts does;
    an explicit null takes a value away."""

    image_id: str
    image_properties: dict[str, str] = {}
    admin_pass: str
    columns: dict[str, Any] = {}
    told: dict[str, Any] = {}
    volume_id: str | None = None  # of a server that boots from a volume: which is given the image; "": none, it stays


@workflow.defn
class RebuildInstance(ServerOperation):
    @workflow.run
    async def run(self, req: ActionRequest) -> None:
        await self.act(req, self.rebuild)

    @classmethod
    def answer(cls, req: ActionRequest, server: InstanceFacts) -> Accepted:
        wish = Rebuild.model_validate(req.body)
        return Accepted(instance_id=req.instance_id, admin_pass=wish.admin_pass)

    async def rebuild(self, req: ActionRequest, server: InstanceFacts, saga: Saga) -> InstanceChange:
        wish, host = Rebuild.model_validate(req.body), self.host_of(server)
        assert server.flavor is not None
        if wish.volume_id is not None:
            return await self._with_its_volume(req, server, host, saga)
        disk = ImageOnHost(
            instance_id=server.instance_id,
            image_id=wish.image_id,
            disk_gb=server.flavor.disk,
            trusted=wish.columns.get("trusted_certificates", server.trusted) or [],
        )
        known = await saga.step(
            Instance.fetch_guest,
            InstanceRef(instance_id=server.instance_id),
            undo=None,  # reads only
        )
        await saga.step(
            Image.cache_image,
            disk,
            undo=None,  # the host's cache keeps it or not, as it likes
            at=host,
        )
        before = _before(req, server, runs=server.vm_state == "active")
        await saga.step(
            Kept.set_aside,
            before,
            undo=Kept.bring_back,
            at=host,
        )
        new_disk, (plugged, attached) = await saga.together(
            saga.step(
                Image.fetch_to_host,
                disk,
                undo=None,  # `bring_back` puts the old one in its place
                at=host,
            ),
            connected(server, host, saga),
        )
        power_state = await self._started(_spec(wish, server, known, new_disk, plugged, attached), server, host, saga)
        self.afterwards(Kept.forget_aside, before, host)
        return _change(wish, server, _told(known, wish), plugged, power_state)

    async def _with_its_volume(
        self, req: ActionRequest, server: InstanceFacts, host: Place, saga: Saga
    ) -> InstanceChange:
        wish = Rebuild.model_validate(req.body)
        known = await saga.step(
            Instance.fetch_guest,
            InstanceRef(instance_id=server.instance_id),
            undo=None,  # reads only
        )
        if wish.volume_id:
            await require_volumes(req, server, saga)
            await self._reimage(wish.volume_id, wish.image_id, server, host, saga)
        before = _before(req, server, runs=server.vm_state == "active" and not wish.volume_id)
        await saga.step(
            Kept.set_aside,
            before,
            undo=Kept.bring_back,
            at=host,
        )
        self.afterwards(Kept.forget_aside, before, host)
        plugged, attached = await connected(server, host, saga)
        power_state = await self._started(_spec(wish, server, known, None, plugged, attached), server, host, saga)
        return _change(wish, server, _told(known, wish), plugged, power_state)

    async def _reimage(self, volume_id: str, image_id: str, server: InstanceFacts, host: Place, saga: Saga) -> None:
        """On no host, so that none of them reads or writes the volume meanwhile; still the server's, so that nobody
        else gets it. A failure leaves the server in ERROR: what was on the volume is lost."""
        held = volumes_of(server)
        root = [volume for volume in held.volumes if volume.volume_id == volume_id]
        await saga.step(
            Hypervisor.power_off,
            PowerOff(instance_id=server.instance_id, attempt=server.attempt, comes_back=True),
            undo=Hypervisor.power_on if server.vm_state == "active" else None,  # else it was off before
            at=host,
        )
        saga.no_way_back()
        self.lost = True
        await saga.step(
            Volume.part_volumes,
            held.model_copy(update={"volumes": root}),
            undo=None,  # a hard reboot connects it again
            at=host,
        )
        await saga.step(
            Services.reimage_volume,
            VolumeReimage(
                instance_id=server.instance_id,
                volume_id=volume_id,
                image_id=image_id,
                attachment_id=root[0].attachment_id if root else "",
            ),
            undo=None,  # there is no copy of what it had
            at=control(),
        )

    async def _started(self, spec: DomainSpec, server: InstanceFacts, host: Place, saga: Saga) -> int:
        """The new guest's power state."""
        spawned = await saga.step(
            Hypervisor.spawn,
            spec,
            undo=None,  # `bring_back` ends it
            at=host,
        )
        if server.vm_state == "stopped":
            stopped = await saga.step(
                Hypervisor.power_off,
                PowerOff(instance_id=server.instance_id, attempt=server.attempt, timeout_s=0),
                undo=None,  # `bring_back` starts what ran
                at=host,
            )
            return stopped.power_state
        return spawned.power_state


def _before(req: ActionRequest, server: InstanceFacts, *, runs: bool) -> Aside:
    return Aside(
        instance_id=server.instance_id,
        attempt=server.attempt,
        label="rebuild",
        request_id=req.requester.request_id,
        disk="moved",
        runs=runs,
    )


def _spec(
    wish: Rebuild,
    server: InstanceFacts,
    known: GuestConfig,
    disk: DiskOnHost | None,
    plugged: Plugged,
    attached: Attached,
) -> DomainSpec:
    return domain_of(server, _told(known, wish), disk, plugged, attached).model_copy(
        update={
            "image_id": wish.image_id if wish.volume_id is None else "",
            "image_properties": wish.image_properties,
            "name": wish.columns.get("name", server.name),
        }
    )


def _told(known: GuestConfig, wish: Rebuild) -> GuestConfig:
    return GuestConfig.model_validate({**known.model_dump(), **wish.told, "admin_pass": wish.admin_pass})


def _change(
    wish: Rebuild, server: InstanceFacts, guest: GuestConfig, plugged: Plugged, power_state: int
) -> InstanceChange:
    return InstanceChange(
        vm_state="stopped" if server.vm_state == "stopped" else "active",
        power_state=power_state,
        networks=networks_now(server.networks, plugged.vifs),
        image_ref=wish.image_id
        if wish.volume_id is None
        else None,  # none is by what Nova's clients know such a server
        image_properties=wish.image_properties,
        guest=guest,
        cleared=[name for name, value in wish.columns.items() if value is None],
        **{name: value for name, value in wish.columns.items() if value is not None},
    )
