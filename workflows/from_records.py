"""A guest that exists, made anew from its records: what was changed or lost on its host behind our back comes back."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.instance import Instance
    from activities.network import Network
    from activities.volume import Volume
    from infra.contracts.hypervisor import DomainSpec
    from infra.contracts.image import DiskOnHost
    from infra.contracts.instance import InstanceRef
    from infra.contracts.network import Plugged
    from infra.contracts.operation import InstanceFacts
    from infra.contracts.volume import Attached

from workflows.attempt import nothing
from workflows.inputs import domain_of, held_ports, held_volumes
from workflows.saga import Place, Saga


async def connected(server: InstanceFacts, host: Place, saga: Saga) -> tuple[Plugged, Attached]:
    """The server's own ports and volumes, in place on its host once more."""
    plugged, attached = await saga.together(
        saga.step(
            Network.plug_ports,
            held_ports(server),
            undo=None,  # they are the server's, plugged before
            at=host,
        )
        if server.networks
        else nothing(Plugged()),
        saga.step(
            Volume.attach_volumes,
            held_volumes(server),
            undo=None,  # they are the server's, attached before
            at=host,
        )
        if server.volumes
        else nothing(Attached()),
    )
    return plugged, attached


async def made_anew(server: InstanceFacts, host: Place, saga: Saga) -> DomainSpec:
    """What its domain is to be, with bridge, DHCP entry and filter of each port and each volume's connection in place
    again. Source: `_hard_reboot` of Nova's libvirt driver, which does the same."""
    known = await saga.step(
        Instance.fetch_guest,
        InstanceRef(instance_id=server.instance_id),
        undo=None,  # reads only
    )
    plugged, attached = await connected(server, host, saga)
    disk = DiskOnHost() if server.image_id else None
    return domain_of(server, known, disk, plugged, attached)
