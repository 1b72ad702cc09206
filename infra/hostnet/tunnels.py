"""VXLAN between hosts: one device per network, flooding to the hosts that have it, learning who is where.

Source: RFC 7348; bridge(8). Unicast only, so that the network between hosts needs no multicast."""

from dataclasses import dataclass

from infra.hostnet.links import DELETE, Link
from infra.hostnet.models import is_v4
from infra.hostnet.topology import Network

PORT = 4789
FLOOD = "00:00:00:00:00:00"
OVERHEAD = {4: 50, 6: 70}
"""Octets that a tunnel over IPv4 or IPv6 adds to a packet: outer Ethernet, IP, UDP and VXLAN headers."""


def name_of(vni: int) -> str:
    return f"vx{vni}"


@dataclass(frozen=True)
class Tunnel:
    """`peers`: addresses of the other hosts, which frames for nobody in particular are sent to."""

    bridge: str
    vni: int
    local: str
    mtu: int
    peers: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        return name_of(self.vni)


def room(local: str, links: dict[str, Link]) -> int | None:
    """The largest packet that a tunnel from `local` carries whole; None when no interface has that address."""
    carriers = [link for link in links.values() if any(a.partition("/")[0] == local for a in link.addresses)]
    return min(link.mtu for link in carriers) - OVERHEAD[4 if is_v4(local) else 6] if carriers else None


def of_network(network: Network, bridge: str, local: str) -> Tunnel | None:
    """None for what does not leave the host by a tunnel."""
    if not local or network.physical_network or network.segment is None:
        return None
    peers = frozenset(peer for peer in network.peers if peer != local)
    return Tunnel(bridge, network.segment, local, network.mtu, peers)


def plan(tunnel: Tunnel, links: dict[str, Link]) -> list[str]:
    """The `ip` batch that makes the device as wanted."""
    link, name = links.get(tunnel.name), tunnel.name
    lines = []
    if link and (link.kind, link.vni, link.local) != ("vxlan", tunnel.vni, tunnel.local):
        lines.append(f"{DELETE}{name}")
        link = None
    if not link:
        how = f"id {tunnel.vni} local {tunnel.local} dstport {PORT} learning"
        lines += [f"link add name {name} mtu {tunnel.mtu} type vxlan {how}", f"link set dev {name} addrgenmode none"]
    if not link or link.master != tunnel.bridge:
        lines.append(f"link set dev {name} master {tunnel.bridge}")
    if link and link.mtu != tunnel.mtu:
        lines.append(f"link set dev {name} mtu {tunnel.mtu}")
    if not link or not link.up:
        lines.append(f"link set dev {name} up")
    return lines


def plan_flood(tunnel: Tunnel, present: set[tuple[str, str]]) -> list[str]:
    """The `bridge` batch that makes the flood list as wanted; where a single MAC address is, only frames tell."""
    wanted = {(FLOOD, peer) for peer in tunnel.peers}
    lines = [f"fdb delete {mac} dev {tunnel.name} dst {peer}" for mac, peer in sorted(present - wanted)]
    return lines + [f"fdb append {mac} dev {tunnel.name} dst {peer}" for mac, peer in sorted(wanted - present)]


def stale(bridge: str, wanted: set[str], links: dict[str, Link]) -> list[str]:
    """The `ip` batch that removes tunnels of the bridge that nobody wants any more."""
    found = (n for n, link in links.items() if link.kind == "vxlan" and link.master == bridge and n.startswith("vx"))
    return [f"{DELETE}{name}" for name in sorted(found) if name not in wanted]
