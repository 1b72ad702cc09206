"""A server that its resize takes to another host: what it was stays where it was, until it is confirmed."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.hypervisor import Hypervisor
    from activities.image import Image
    from activities.image_record import ImageRecord
    from activities.instance import Instance
    from activities.moving import Moving
    from activities.shape import Shape
    from infra.contracts.hypervisor import DomainRef, GuestConfig
    from infra.contracts.image import DiskOnHost, ImageOnHost
    from infra.contracts.instance import InstanceRef
    from infra.contracts.network import Plugged, networks_now
    from infra.contracts.operation import ActionRequest, InstanceChange, InstanceFacts
    from infra.contracts.resize import Arriving, Leaving, ShapeOnHost
    from infra.contracts.snapshot import SHELVED, ImageRef, ImageToBe, image_id_of
    from infra.contracts.volume import Attached

from workflows.arriving import brought, parted
from workflows.create_image import MakesImage
from workflows.inputs import domain_of, held_ports, volumes_of
from workflows.requests import Accepted
from workflows.saga import Saga, control
from workflows.server_operation import ServerOperation


class Moves(MakesImage):
    @classmethod
    def answer(cls, req: ActionRequest, server: InstanceFacts) -> Accepted:
        return Accepted(instance_id=req.instance_id)  # of the image nobody is told

    async def move(self, req: ActionRequest, server: InstanceFacts, there: InstanceFacts, saga: Saga) -> InstanceChange:
        """The guest leaves its host for that of `there`, the server as it is to be. Its disk goes in an image."""
        runs, source = server.vm_state == "active", self.host_of(server)
        guest = await guest_of(server, saga)
        await saga.step(
            Moving.leave_host,
            leaving(server, guest, runs=runs),
            undo=Moving.come_back,
            at=source,
        )
        image = image_of(req, server)
        if server.image_id:
            await saga.step(
                ImageRecord.create_image,
                image,
                undo=ImageRecord.drop_image,
                at=control(),
            )
            done = ImageRef(image_id=image.image_id, instance_id=server.instance_id)
            self.afterwards(ImageRecord.drop_image, done, control())
            await self.fill_image(image, server, saga)
        await parted(server, source, saga)  # `come_back` brings them here again
        host = self.host_of(there)
        disk, plugged, attached = await brought(there, image.image_id if server.image_id else "", host, saga)
        arrived = await saga.step(
            Moving.arrive,
            Arriving(**domain_of(there, guest, disk, plugged, attached).model_dump(), runs=runs),
            undo=Hypervisor.destroy,
            at=host,
        )
        return InstanceChange(power_state=arrived.power_state, networks=networks_now(server.networks, plugged.vifs))


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
        volumes=volumes_of(server),
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
