"""Running guests against their host's network: tap, filter, port file and DHCP entry of every port that they have."""

from collections.abc import Iterator

from infra.contracts.audit import Finding, World
from infra.contracts.hypervisor import HostFacts
from infra.contracts.power_states import PAUSED, RUNNING


def _expected(world: World) -> Iterator[tuple[HostFacts, str, str, str]]:
    """(host, server, port, proof) of each port that a running guest has. Only what the network service says is the
    server's own may be repaired."""
    for server in world.live.values():
        facts = world.hosts.get(server.host)
        if server.busy or facts is None or not facts.plugs:
            continue
        for port in server.ports if facts.domains.get(server.id) in (RUNNING, PAUSED) else ():
            seen = world.ports.get(port.port_id)
            ours = seen is not None and seen.device_id == server.id
            proof = "its record and the network service say that the port is this server's" if ours else ""
            yield facts, server.id, port.port_id, proof


def tap_of(port_id: str) -> str:
    return f"tap{port_id[:11]}"


def unplugged(world: World) -> Iterator[Finding]:
    for facts, server, port, proof in _expected(world):
        if facts.ports.get(port) != server:
            yield Finding(kind="unplugged", instance_id=server, host=facts.host, what=port, proof=proof)


def tap(world: World) -> Iterator[Finding]:
    for facts, server, port, proof in _expected(world):
        if tap_of(port) not in facts.taps:
            yield Finding(kind="tap", instance_id=server, host=facts.host, what=port, proof=proof)


def filters(world: World) -> Iterator[Finding]:
    for facts, server, port, proof in _expected(world):
        if tap_of(port) not in facts.filters:
            yield Finding(kind="filter", instance_id=server, host=facts.host, what=port, proof=proof)


def dhcp_entry(world: World) -> Iterator[Finding]:
    """Of a port on the host that answers DHCP for its network, which need not be the guest's."""
    owners = {port.port_id: server.id for server in world.live.values() if not server.busy for port in server.ports}
    for facts in world.hosts.values():
        for ports in facts.served.values():
            for port in sorted(owners.keys() & set(ports) - set(facts.answered)):
                proof = "the host that serves the network has the port, and does not answer it"
                yield Finding(kind="dhcp_entry", instance_id=owners[port], host=facts.host, what=port, proof=proof)


def dhcp_server(facts: HostFacts) -> Iterator[Finding]:
    """Of a host whose network service does not tell it what to serve; it starts the server again within seconds."""
    for network in facts.served.keys() - set(facts.dhcp):
        proof = "the host has to serve the network, and says that no server runs"
        where = {"host": facts.host, "what": f"net/{network}", "problem": "missing"}
        yield Finding(kind="dhcp_server", instance_id="", proof=proof, **where)
