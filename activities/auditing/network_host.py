"""What the network service told a host against what exists there: each thing too many, missing or out of date.

Pure: one side is the answer of `GET /v2.0/kilonova/topology`, the other what `DataPlane.describe` said on the host."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from activities.auditing import nics
from infra.contracts.audit import Finding, World
from infra.hostnet import advertise, spaces
from infra.hostnet.models import HostNetInventory, digest
from infra.hostnet.routers import floating_addresses, routes_of
from infra.hostnet.spaces import Space
from infra.hostnet.topology import Network, Router, Topology

PROOF = "the network service's word for this host, against what the host has"
MISSING, TOO_MANY, OLD = "missing", "too many", "out of date"
HEALTHY = ("carried", "waiting")


class Difference(NamedTuple):
    """`what`: 'net/<id>' or 'router/<id>', with what of it is meant: 'router/<id> 203.0.113.20'."""

    what: str
    problem: str


Rule = Callable[[Topology, HostNetInventory], Iterator[Difference]]


def _between(wanted: set[str], found: set[str], name: str = "{}") -> Iterator[Difference]:
    yield from (Difference(name.format(each), MISSING) for each in sorted(wanted - found))
    yield from (Difference(name.format(each), TOO_MANY) for each in sorted(found - wanted))


def _routers(told: Topology) -> dict[str, Router]:
    return {f"router/{router.id}": router for router in told.routers if router.admin_state_up}


def _serving(told: Topology) -> dict[str, Network]:
    return {network.id: network for network in told.networks if network.serves_dhcp}


def namespaces(told: Topology, found: HostNetInventory) -> Iterator[Difference]:
    """One of a network may exist although no DHCP is served here: on one machine it has the network's gateway."""
    wanted = _routers(told).keys() | {f"net/{network_id}" for network_id in _serving(told)}
    may = wanted | {f"net/{network.id}" for network in told.networks}
    others = {f"{kind}/{each}" for kind in ("net", "router") for each in found.others}
    yield from _between(wanted, (found.spaces.keys() - may - others) | (found.spaces.keys() & wanted))


def _spaces(told: Topology, found: HostNetInventory) -> dict[str, Space]:
    """What the namespaces of networks must hold whose ports this host was told, by 'net/<id>'."""
    wanted = {f"net/{network.id}": network for network in _serving(told).values()}
    return {key: spaces.of_network(n, key, "", found.gateways) for key, n in wanted.items() if key in found.spaces}


def network_addresses(told: Topology, found: HostNetInventory) -> Iterator[Difference]:
    for key, space in _spaces(told, found).items():
        wanted = {address.partition("/")[0] for veth in space.veths for address in veth.addresses}
        yield from _between(wanted, set(found.spaces[key].addresses), f"{key} {{}}")


def network_routes(told: Topology, found: HostNetInventory) -> Iterator[Difference]:
    for key, space in _spaces(told, found).items():
        yield from _between(set(map(" ".join, space.routes)), set(found.spaces[key].routes), f"{key} {{}}")


def addresses(told: Topology, found: HostNetInventory) -> Iterator[Difference]:
    for key, router in _routers(told).items():
        wanted = {fixed.ip_address for port in router.ports if port.admin_state_up for fixed in port.fixed_ips}
        wanted |= floating_addresses(router) if router.gateway and router.gateway.admin_state_up else set()
        if key in found.spaces:
            yield from _between(wanted, set(found.spaces[key].addresses), f"{key} {{}}")


def routes(told: Topology, found: HostNetInventory) -> Iterator[Difference]:
    for key, router in _routers(told).items():
        if key in found.spaces:
            yield from _between(set(map(" ".join, routes_of(router))), set(found.spaces[key].routes), f"{key} {{}}")


def rules(told: Topology, found: HostNetInventory) -> Iterator[Difference]:
    """Of nftables what somebody changed on the host; of ports and groups, what the host was not told yet."""
    places = {"host": found.damage, **{key: space.damage for key, space in found.spaces.items()}}
    for place, damage in sorted(places.items()):
        yield from (Difference(f"{place} {each.part}", each.problem) for each in damage)
    here = [port for port in told.ports if port.id in found.ports]
    used = {rule.remote_set for port in here for rule in port.rules if rule.remote_set}
    wanted = {f"port/{port.id}": digest(port) for port in here}
    wanted |= {f"set/{name}": digest(members) for name, members in told.sets.items() if name in used}
    yield from (Difference(key, MISSING) for key in sorted(wanted.keys() - found.told.keys()))
    same = wanted.keys() & found.told.keys()
    yield from (Difference(key, OLD) for key in sorted(same) if wanted[key] != found.told[key])


def dhcp_servers(told: Topology, found: HostNetInventory) -> Iterator[Difference]:
    """Those of networks, and those that advertise routers."""
    others, networks = set(found.others), {network.id: network for network in told.networks}
    wanted = {i for i, network in _serving(told).items() if any(subnet.enable_dhcp for subnet in network.subnets)}
    yield from _between(wanted, found.networks.keys() - (others - wanted), "net/{}")
    routers = _routers(told).values()
    wanted = {r.id for r in routers if advertise.of_router(r, networks, lambda port_id: port_id)}
    yield from _between(wanted, found.advertisers.keys() - (others - wanted), "router/{}")
    yield from (Difference(each, TOO_MANY) for each in found.doubled)


def fdb_entries(_: Topology, found: HostNetInventory) -> Iterator[Difference]:
    """Bridges learn where somebody is; what else sends frames somewhere is nobody's work."""
    yield from (Difference(entry, TOO_MANY) for entry in found.misled)


def _used(told: Topology, found: HostNetInventory) -> set[str]:
    """Networks of ports that are to be plugged here; of subports only those that are, since a trunk may be down."""
    below = {one.port_id for port in told.ports if port.trunk for one in port.trunk.subports} - found.ports.keys()
    return {port.network_id for port in told.ports if port.id not in below}


def _vnis(told: Topology, found: HostNetInventory) -> dict[str, Network]:
    """Networks that leave this host by VXLAN."""
    here = _used(told, found) | {p.network_id for r in told.routers for p in r.ports}
    tunnelled = (network for network in told.networks if network.segment and not network.physical_network)
    return {str(network.segment): network for network in tunnelled if network.serves_dhcp or network.id in here}


def tunnels(told: Topology, found: HostNetInventory) -> Iterator[Difference]:
    if found.tunnelled:
        yield from _between(set(_vnis(told, found)), set(map(str, found.tunnels)), "vxlan/{}")


def tunnel_peers(told: Topology, found: HostNetInventory) -> Iterator[Difference]:
    """Hosts that frames for nobody in particular go to, and entries that somebody put for one MAC address."""
    for vni, network in _vnis(told, found).items() if found.tunnelled else ():
        if int(vni) in found.tunnels:
            yield from _between(set(network.peers), set(found.tunnels[int(vni)]), f"vxlan/{vni} {{}}")


def subports(told: Topology, found: HostNetInventory) -> Iterator[Difference]:
    """Of parents that are plugged here, on a host that can carry them; one whose guest has no tap waits for it."""
    parents = {port.id: port.trunk for port in told.ports if port.id in found.ports and port.trunk}
    wanted = {one.port_id for trunk in parents.values() if trunk.admin_state_up for one in trunk.subports}
    yield from _between(set() if found.unable else wanted, set(found.subports), "port/{}")
    for port_id, state in sorted(found.subports.items()):
        if port_id in wanted and state not in HEALTHY:
            yield Difference(f"port/{port_id} {state}", MISSING)
    yield from (Difference(f"host {name}", TOO_MANY) for name in found.loose)


PARTS: dict[str, Rule] = {
    "namespace": namespaces,
    "network_address": network_addresses,
    "network_route": network_routes,
    "router_address": addresses,
    "router_route": routes,
    "rules": rules,
    "dhcp_server": dhcp_servers,
    "fdb_entry": fdb_entries,
    "tunnel": tunnels,
    "tunnel_peer": tunnel_peers,
    "subport": subports,
}
"""Kind of finding → what is compared for it. A host mends all of them by looking after its own network."""


def _rule(kind: str) -> Callable[[World], Iterator[Finding]]:
    def rule(world: World) -> Iterator[Finding]:
        for host, facts in world.hosts.items():
            told = world.told.get(host)
            if told is None or facts.network is None:
                yield from nics.dhcp_server(facts) if kind == "dhcp_server" else ()
                continue
            for what, problem in PARTS[kind](told, facts.network):
                yield Finding(kind=kind, instance_id="", host=host, what=what, problem=problem, proof=PROOF)

    return rule


RULES = {kind: _rule(kind) for kind in PARTS}
