"""What a server needs on a host that has nothing of it: its disk from an image, its ports, its volumes; how the latter
leave a host, and whether they are its own still."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.image import Image
    from activities.network import Network
    from activities.services import Services
    from activities.volume import Volume
    from infra.contracts.image import DiskOnHost, ImageOnHost
    from infra.contracts.network import Plugged
    from infra.contracts.operation import ActionRequest, InstanceFacts
    from infra.contracts.volume import Attached

from workflows.attempt import nothing
from workflows.inputs import held_ports, held_volumes, ports_of, volumes_of
from workflows.saga import Place, Saga, control

MOST_HOSTS = 3
"""So many are tried, as of a build."""
ASKING = 3
"""`steps_of` of requests since it is asked whether a server has its volumes still."""


async def brought(
    server: InstanceFacts, image_id: str, host: Place, saga: Saga
) -> tuple[DiskOnHost | None, Plugged, Attached]:
    """All at once, on the host of the server's claim. `image_id`: of the disk, "" when it boots from a volume. Undone,
    ports and volumes stay the server's, on no host."""
    assert server.flavor is not None
    disk, plugged, attached = await saga.together(
        saga.step(
            Image.fetch_to_host,
            ImageOnHost(
                instance_id=server.instance_id, image_id=image_id, disk_gb=server.flavor.disk, attempt=server.attempt
            ),
            undo=Image.remove_disk,
            at=host,
        )
        if image_id
        else nothing(None),
        saga.step(
            Network.plug_ports,
            held_ports(server),
            undo=Network.part_ports,
            at=host,
        )
        if server.networks
        else nothing(Plugged()),
        saga.step(
            Volume.attach_volumes,
            held_volumes(server),
            undo=Volume.part_volumes,
            at=host,
        )
        if server.volumes
        else nothing(Attached()),
    )
    return disk, plugged, attached


async def parted(server: InstanceFacts, host: Place, saga: Saga) -> None:
    """Ports and volumes stay the server's, on no host. Not undone: the caller knows how they come back, or need not."""
    if server.networks:
        await saga.step(
            Network.part_ports,
            ports_of(server),
            undo=None,
            at=host,
        )
    if server.volumes:
        await saga.step(
            Volume.part_volumes,
            volumes_of(server),
            undo=None,
            at=host,
        )


async def require_volumes(req: ActionRequest, server: InstanceFacts, saga: Saga) -> None:
    """Hopeless (409) when an attachment was ended behind the server's back: what follows ends the guest, or what its
    volume had, and could neither go on nor back without it."""
    if server.volumes and req.steps_of >= ASKING:
        await saga.step(
            Services.require_attachments,
            held_volumes(server),
            undo=None,  # reads only
            at=control(),
        )
