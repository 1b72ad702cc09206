"""Compares what the network service told a host with what exists there: each difference, too many or missing.

Pure: whoever audits brings both sides, one from `GET /v2.0/kilonova/topology`, one from `DataPlane.describe`."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from infra.hostnet.models import HostNetInventory
from infra.hostnet.routers import floating_addresses
from infra.hostnet.topology import Network, Router, Topology

Kind = Literal["namespace", "rules", "address", "dhcp_server", "tunnel", "tunnel_peer", "port"]


@dataclass(frozen=True, order=True)
class Difference:
    """`what` is the id of a network, router or port, and for parts of one what is meant: 'net/<id> 10.0.0.1'."""

    kind: Kind
    what: str
    problem: Literal["missing", "too many"]


def compare(told: Topology, found: HostNetInventory, *, tunnels: bool = False) -> list[Difference]:
    """Sorted; empty when all is as told. `tunnels`: whether this host carries networks to others by VXLAN.

    A network's namespace may exist although the service named no DHCP here, when a gateway is played on one machine
    (`lab_gateway`): it counts as too many only when the network itself was not told."""
    return sorted({*_spaces(told, found), *_ports(told, found), *(_tunnels(told, found) if tunnels else ())})


def _spaces(told: Topology, found: HostNetInventory) -> Iterator[Difference]:
    routers = {f"router/{r.id}": r for r in told.routers if r.admin_state_up}
    networks = {f"net/{n.id}": n for n in told.networks}
    serving = {key: n for key, n in networks.items() if n.serves_dhcp}
    for key in (routers.keys() | serving.keys()) - found.spaces.keys():
        yield Difference("namespace", key, "missing")
    for key, space in found.spaces.items():
        if key not in routers and key not in networks:
            yield Difference("namespace", key, "too many")
            continue
        if not space.rules:
            yield Difference("rules", key, "missing")
        if key in routers:
            yield from _addresses(key, routers[key], set(space.addresses))
    yield from _servers(serving, set(found.networks))


def _servers(serving: dict[str, Network], running: set[str]) -> Iterator[Difference]:
    wanted = {n.id for n in serving.values() if any(subnet.enable_dhcp for subnet in n.subnets)}
    yield from (Difference("dhcp_server", network_id, "missing") for network_id in wanted - running)
    yield from (Difference("dhcp_server", network_id, "too many") for network_id in running - wanted)


def _addresses(key: str, router: Router, present: set[str]) -> Iterator[Difference]:
    wanted = {fixed.ip_address for port in router.ports if port.admin_state_up for fixed in port.fixed_ips}
    wanted |= floating_addresses(router) if router.gateway and router.gateway.admin_state_up else set()
    yield from (Difference("address", f"{key} {address}", "missing") for address in wanted - present)
    yield from (Difference("address", f"{key} {address}", "too many") for address in present - wanted)


def _ports(told: Topology, found: HostNetInventory) -> Iterator[Difference]:
    wanted = {port.id for port in told.ports}
    yield from (Difference("port", port_id, "missing") for port_id in wanted - found.ports.keys())
    yield from (Difference("port", port_id, "too many") for port_id in found.ports.keys() - wanted)


def _tunnels(told: Topology, found: HostNetInventory) -> Iterator[Difference]:
    here = {p.network_id for p in told.ports} | {p.network_id for r in told.routers for p in r.ports}
    wanted = {
        n.segment: set(n.peers)
        for n in told.networks
        if n.segment and not n.physical_network and (n.serves_dhcp or n.id in here)
    }
    for vni in wanted.keys() ^ found.tunnels.keys():
        yield Difference("tunnel", str(vni), "missing" if vni in wanted else "too many")
    for vni in wanted.keys() & found.tunnels.keys():
        present = set(found.tunnels[vni])
        yield from (Difference("tunnel_peer", f"{vni} {peer}", "missing") for peer in wanted[vni] - present)
        yield from (Difference("tunnel_peer", f"{vni} {peer}", "too many") for peer in present - wanted[vni])
