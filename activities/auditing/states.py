"""Records against what they speak of: servers without an operation, without a guest, with two, with what is gone."""

from collections import defaultdict
from collections.abc import Iterator

from infra.contracts.audit import Finding, World
from infra.contracts.power_states import RUNNING


def stuck(world: World) -> Iterator[Finding]:
    """At work, says the record. Whoever compares asks the workflows whether that is so."""
    for server in world.live.values():
        if server.busy:
            proof = "its record says that an operation runs; no workflow does"
            yield Finding(kind="stuck", instance_id=server.id, host=server.host, proof=proof)


def lost(world: World) -> Iterator[Finding]:
    """Its host answered, and has no such guest. A person decides."""
    for server in world.live.values():
        facts = world.hosts.get(server.host)
        if (
            not server.busy
            and server.vm_state in ("active", "paused", "rescued")
            and facts
            and server.id not in facts.domains
        ):
            yield Finding(kind="lost", instance_id=server.id, host=server.host)


def waiting(world: World) -> Iterator[Finding]:
    """Its guest stands still: QEMU paused it until a disk answers. A person looks after that."""
    for server in world.live.values():
        facts = world.hosts.get(server.host)
        if not server.busy and facts and server.id in facts.waiting:
            disks = ", ".join(facts.waiting[server.id])
            yield Finding(kind="waiting", instance_id=server.id, host=server.host, what=disks)


def doubled(world: World) -> Iterator[Finding]:
    """A person decides, unless one of the two is also a `domain` that its record gives to the other host. What a resize
    keeps on the host that its server left is no other one while it is off."""
    hosts: dict[str, list[str]] = defaultdict(list)
    for host, facts in world.hosts.items():
        for instance_id, power in facts.domains.items():
            server = world.servers.get(instance_id)
            if not (server and server.awaits and server.resize_on == host and power != RUNNING):
                hosts[instance_id].append(host)
    for instance_id, found in hosts.items():
        server = world.servers.get(instance_id)
        if len(found) > 1 and not (server and server.busy):
            yield Finding(kind="doubled", instance_id=instance_id, host=",".join(sorted(found)))


def address_twice(world: World) -> Iterator[Finding]:
    """Two servers with one address of one network: their guests answer for each other. A person decides."""
    owners: dict[tuple[str, str], list[str]] = defaultdict(list)
    for server in world.live.values():
        for port in server.ports if server.keeps else ():
            for address in port.addresses:
                owners[port.network_id, address].append(server.id)
    for (_, address), servers in owners.items():
        for instance_id in servers if len(servers) > 1 else ():
            yield Finding(kind="address_twice", instance_id=instance_id, what=address)


def port_gone(world: World) -> Iterator[Finding]:
    """Deleted in the network service, or given to another device, under a server that has it."""
    for server in world.live.values() if world.has_ports else ():
        for port in server.ports if server.keeps and not server.busy else ():
            seen = world.ports.get(port.port_id)
            if seen is None or seen.device_id != server.id:
                yield Finding(kind="port_gone", instance_id=server.id, host=server.host, what=port.port_id)


def attachment_gone(world: World) -> Iterator[Finding]:
    """Ended in the volume service under a server that has it: the volume may be another server's by now."""
    for server in world.live.values() if world.has_volumes else ():
        for id, volume_id in server.attachments if server.keeps and not server.busy else ():
            seen = world.attachments.get(id)
            if seen is None or seen.instance_id != server.id:
                yield Finding(
                    kind="attachment_gone", instance_id=server.id, host=server.host, what=id, volume_id=volume_id
                )
