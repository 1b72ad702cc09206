"""A server that its resize takes to another host: what it was stays where it was, until it is confirmed."""

import asyncio

from pydantic import BaseModel
from temporalio import workflow
from temporalio.exceptions import FailureError

with workflow.unsafe.imports_passed_through():
    from activities.hypervisor import Hypervisor
    from activities.image import Image
    from activities.image_record import ImageRecord
    from activities.instance import Instance
    from activities.moving import Moving
    from activities.resize import Resize
    from activities.shape import Shape
    from activities.snapshot import Snapshot
    from infra.contracts.errors import HOST_CANNOT
    from infra.contracts.hypervisor import DomainRef, GuestConfig
    from infra.contracts.image import DiskOnHost, ImageOnHost
    from infra.contracts.instance import InstanceRef
    from infra.contracts.network import Plugged, networks_now
    from infra.contracts.operation import ActionRequest, InstanceChange, InstanceFacts
    from infra.contracts.resize import (
        Arriving,
        CarriedFiles,
        Leaving,
        ResizeClaim,
        ResizeClaimed,
        ShapeOnHost,
        carried,
    )
    from infra.contracts.snapshot import SHELVED, ImageRef, ImageToBe, SnapshotOnHost, carried_id_of, image_id_of
    from infra.contracts.volume import Attached

from workflows.arriving import MOST_HOSTS, brought, parted, require_volumes
from workflows.attempt import go_on_without, none_left, reason_of
from workflows.create_image import MakesImage
from workflows.inputs import domain_of, held_ports, held_volumes
from workflows.requests import Accepted
from workflows.saga import Place, Saga, control, kind
from workflows.server_operation import ServerOperation

ALTERNATES = 2
"""`steps_of` of requests since what lies beside the root disk goes along, and more than one other host is tried."""


class InImages(BaseModel):
    """Ids of the images in which a server goes to another host; "" for what it does not have."""

    disk: str = ""
    beside: str = ""


class Moves(MakesImage):
    @classmethod
    def answer(cls, req: ActionRequest, server: InstanceFacts) -> Accepted:
        return Accepted(instance_id=req.instance_id)  # of the image nobody is told

    async def move(
        self, req: ActionRequest, server: InstanceFacts, there: InstanceFacts, wanted: ResizeClaim, saga: Saga
    ) -> InstanceChange:
        """The guest leaves its host for that of `there`, the server as it is to be. Its disk goes in an image, and what
        lies beside that in another."""
        runs, source = server.vm_state == "active", self.host_of(server)
        await require_volumes(req, server, saga)
        guest = await guest_of(server, saga)
        await saga.step(
            Moving.leave_host,
            leaving(server, guest, runs=runs),
            undo=Moving.come_back,
            at=source,
        )
        goes = InImages()
        if server.image_id:
            image = image_of(req, server)
            await self.create(image, saga)
            await self.fill_image(image, server, saga)
            goes.disk = image.image_id
        if wanted.carries and carried(server.image_properties, server.local_disks):
            beside = beside_of(req, server)
            await self.create(beside, saga)
            await self.fill_beside(beside, server, saga)
            goes.beside = beside.image_id
        await parted(server, source, saga)  # `come_back` brings them here again
        while True:
            attempt, host = self.saga(), self.host_of(there)
            try:
                async with attempt:
                    change = await self.arrive(there, guest, goes, attempt, runs=runs)
            except (FailureError, asyncio.CancelledError) as error:
                if not wanted.carries or not self.another_may_help(error, host, attempt):
                    raise
                wanted = wanted.model_copy(update={"tried": {**wanted.tried, host.host: reason_of(error, host)}})
                if len(wanted.tried) == MOST_HOSTS:
                    raise none_left(wanted.tried) from error
                go_on_without(host)
                self.place = None
                claimed = await saga.step(
                    Resize.claim_resize,
                    wanted,
                    undo=None,  # that of the first claim is for all of them
                )
                there = claimed_on(there, claimed)
                continue
            saga.adopt(attempt)
            return change

    async def create(self, image: ImageToBe, saga: Saga) -> None:
        """An image that is gone at the operation's end, whichever that is."""
        await saga.step(
            ImageRecord.create_image,
            image,
            undo=ImageRecord.drop_image,
            at=control(),
        )
        done = ImageRef(image_id=image.image_id, instance_id=image.instance_id)
        self.afterwards(ImageRecord.drop_image, done, control())

    async def fill_beside(self, image: ImageToBe, server: InstanceFacts, saga: Saga) -> None:
        files = SnapshotOnHost(
            instance_id=server.instance_id, attempt=server.attempt, image_id=image.image_id, form="tar"
        )
        host = self.host_of(server)
        await saga.step(
            Moving.pack_files,
            files,
            undo=Snapshot.remove_snapshot,
            at=host,
        )
        await saga.step(
            Snapshot.upload_snapshot,
            files,
            undo=None,  # `drop_image` takes it
            at=host,
        )
        await saga.step(
            Snapshot.remove_snapshot,
            files,
            undo=None,  # they are in the image, and the guest's own stay
            at=host,
        )

    async def arrive(
        self, there: InstanceFacts, guest: GuestConfig, goes: InImages, saga: Saga, *, runs: bool
    ) -> InstanceChange:
        host = self.host_of(there)
        disk, plugged, attached = await brought(there, goes.disk, host, saga)
        if goes.beside:
            await saga.step(
                Moving.unpack_files,
                files_of(there, goes.beside),
                undo=Moving.drop_files,
                at=host,
            )
        arrived = await saga.step(
            Moving.arrive,
            Arriving(**domain_of(there, guest, disk, plugged, attached).model_dump(), runs=runs),
            undo=Hypervisor.destroy,
            at=host,
        )
        return InstanceChange(power_state=arrived.power_state, networks=networks_now(there.networks, plugged.vifs))

    def another_may_help(self, error: BaseException, host: Place, attempt: Saga) -> bool:
        """Whether the server may go to the next host: this one is gone, or cannot, and nothing of it stays there that
        nobody would undo."""
        if self.interrupted() or workflow.cancellation_reason() is not None:
            return False
        return host.gone or (kind(error) == HOST_CANNOT and not attempt.left)


async def move_back(
    operation: ServerOperation, server: InstanceFacts, back: InstanceFacts, saga: Saga, *, runs: bool
) -> int:
    """The guest of the new flavor ends, and that of `back`, which its host kept, is what there is; its power state.
    Not before that host has shown that it still has it."""
    source = operation.host_of(back)
    assert back.flavor is not None
    await saga.step(
        Shape.check_shape,
        ShapeOnHost(instance_id=back.instance_id, attempt=back.attempt, flavor=back.flavor),
        undo=None,  # reads only
        at=source,
    )
    guest, host = await guest_of(server, saga), operation.host_of(server)
    await saga.step(
        Hypervisor.destroy,
        DomainRef(instance_id=server.instance_id, attempt=server.attempt),
        undo=None,  # a revert only goes forward, here and in the following
        at=host,
    )
    await parted(server, host, saga)
    came = await saga.step(
        Moving.come_back,
        leaving(back, guest, runs=runs),
        undo=None,
        at=operation.host_of(back),
    )
    await saga.step(
        Image.remove_disk,
        ImageOnHost(instance_id=server.instance_id, image_id=server.image_id, disk_gb=0, attempt=server.attempt),
        undo=None,
        at=operation.host_of(server),
    )
    return came.power_state


async def guest_of(server: InstanceFacts, saga: Saga) -> GuestConfig:
    return await saga.step(
        Instance.fetch_guest,
        InstanceRef(instance_id=server.instance_id),
        undo=None,  # reads only
    )


def leaving(server: InstanceFacts, guest: GuestConfig, *, runs: bool) -> Leaving:
    disk = DiskOnHost() if server.image_id else None
    return Leaving(
        instance_id=server.instance_id,
        attempt=server.attempt,
        spec=domain_of(server, guest, disk, Plugged(), Attached()),
        ports=held_ports(server),
        volumes=held_volumes(server),
        runs=runs,
    )


def image_of(req: ActionRequest, server: InstanceFacts) -> ImageToBe:
    """In which the disk goes to another host: nobody's but the service's, and gone afterwards."""
    return ImageToBe(
        image_id=image_id_of(server.instance_id, req.requester.request_id),
        instance_id=server.instance_id,
        project_id="",
        user_id=req.requester.user_id,
        name=f"{server.instance_id}-resize",
        properties={SHELVED: "True"},
    )


def beside_of(req: ActionRequest, server: InstanceFacts) -> ImageToBe:
    """In which the rest goes."""
    image_id = carried_id_of(server.instance_id, req.requester.request_id)
    return image_of(req, server).model_copy(update={"image_id": image_id, "disk_format": "raw"})


def files_of(there: InstanceFacts, image_id: str) -> CarriedFiles:
    return CarriedFiles(
        instance_id=there.instance_id, attempt=there.attempt, image_id=image_id, local_disks=there.local_disks
    )


def claimed_on(server: InstanceFacts, claimed: ResizeClaimed) -> InstanceFacts:
    return server.model_copy(update={"host": claimed.host, "attempt": claimed.attempt, "zone": claimed.zone})
