"""The namespace of one network: where its gateway, DHCP server and metadata answer, apart from all others."""

import hashlib
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, field

from infra.hostnet import links, netns
from infra.hostnet.links import Link
from infra.hostnet.models import is_v4
from infra.hostnet.netns import HostNetworkError
from infra.hostnet.topology import Network, Subnet

INSIDE = "net0"
METADATA = "169.254.169.254"
OURS = "188"  # routing protocol number of our routes, which tells them from the kernel's and an operator's
SYSCTLS = {
    "ipv4/conf/all/arp_ignore": "1",
    "ipv4/conf/all/rp_filter": "0",
    "ipv4/conf/default/rp_filter": "0",
    "ipv6/conf/all/accept_ra": "0",
    "ipv6/conf/default/accept_ra": "0",
}


@dataclass(frozen=True)
class Veth:
    """A pair between a bridge (`outer`) and a namespace (`inner`)."""

    bridge: str
    outer: str
    inner: str
    mac: str
    mtu: int
    addresses: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Space:
    """What a namespace must hold. `routes` as (destination, what follows it in `ip route replace`)."""

    name: str
    veths: tuple[Veth, ...]
    routes: frozenset[tuple[str, str]] = frozenset()
    sysctls: dict[str, str] = field(default_factory=lambda: dict(SYSCTLS), hash=False)
    local: frozenset[str] = frozenset()  # addresses of the loopback interface
    owns: tuple[str, ...] = (INSIDE,)  # beginnings of the names of interfaces that are ours to delete


def mac_of(seed: str) -> str:
    """A fixed, locally administered MAC address: what takes over on another host must not look new to guests."""
    digest = hashlib.sha256(seed.encode()).hexdigest()
    return ":".join(["02", *(digest[i : i + 2] for i in range(0, 10, 2))])


def eui64(prefix: str, mac: str) -> str:
    """The address that `mac` makes for itself in the /64 `prefix` (RFC 4291, appendix A)."""
    octets = bytearray.fromhex(mac.replace(":", ""))
    octets[0] ^= 2
    host = int.from_bytes(octets[:3] + b"\xff\xfe" + octets[3:], "big")
    return str(ipaddress.IPv6Address(int(ipaddress.IPv6Network(prefix).network_address) | host))


def outer_name(network_id: str) -> str:
    return f"ns-{network_id[:11]}"


def held_gateways(network: Network, lab_gateway: bool) -> list[Subnet]:
    """Subnets on whose gateway address the namespace answers itself: those where no port has it."""
    taken = {fixed.ip_address for port in network.ports for fixed in port.fixed_ips}
    return [s for s in network.subnets if lab_gateway and s.gateway_ip and s.gateway_ip not in taken]


def of_network(network: Network, name: str, bridge: str, lab_gateway: bool) -> Space:
    mac = mac_of(f"network/{network.id}")
    held = held_gateways(network, lab_gateway)
    addresses = {f"{METADATA}/32"} | {f"{s.gateway_ip}/{s.prefixlen}" for s in held}
    others = [s for s in network.subnets if s not in held]
    addresses |= {f"{eui64(s.cidr, mac)}/64" for s in others if not is_v4(s.cidr) and s.prefixlen == 64}
    routes = {(s.cidr, f"dev {INSIDE} src {METADATA}") for s in others if is_v4(s.cidr)}
    veth = Veth(bridge, outer_name(network.id), INSIDE, mac, network.mtu, frozenset(addresses))
    return Space(name, (veth,), frozenset(routes))


def observe(name: str) -> tuple[dict[str, Link], set[tuple[str, str]]]:
    """Interfaces of the namespace, and the routes in it that are ours."""
    batch = f"address show\nroute show table all proto {OURS}\n"  # of both families
    shown, routes = netns.documents(netns.run(name, ["ip", "-j", "-d", "-batch", "-"], batch))
    return links.parse(shown), {(_network(r), _where(r)) for r in routes}


def _network(route: dict[str, str]) -> str:
    destination = route["dst"]
    if destination == "default":
        return "::/0" if ":" in route.get("gateway", "") else destination
    return destination if "/" in destination else str(ipaddress.ip_network(destination))


def _where(route: dict[str, str]) -> str:
    parts = [f"via {route['gateway']}"] if "gateway" in route else []
    parts.append(f"dev {route['dev']}")
    return " ".join([*parts, *([f"src {route['prefsrc']}"] if "prefsrc" in route else [])])


def plan_outer(space: Space, outside: dict[str, Link], inside: dict[str, Link]) -> list[str]:
    """The batch for the bridges' namespace: pairs that are missing or only half there are made anew."""
    lines = []
    for veth in space.veths:
        link = outside.get(veth.outer)
        if link and veth.inner not in inside:
            lines.append(f"{links.DELETE}{veth.outer}")
            link = None
        if not link:
            lines.append(
                f"link add name {veth.outer} mtu {veth.mtu} type veth peer name {veth.inner} "
                f"address {veth.mac} mtu {veth.mtu} netns {space.name}"
            )
            lines.append(f"link set dev {veth.outer} addrgenmode none")
        if not link or link.master != veth.bridge:
            lines.append(f"link set dev {veth.outer} master {veth.bridge}")
        if link and link.mtu != veth.mtu:
            lines.append(f"link set dev {veth.outer} mtu {veth.mtu}")
        if not link or not link.up:
            lines.append(f"link set dev {veth.outer} up")
    return lines


def plan_inner(space: Space, inside: dict[str, Link], routes: set[tuple[str, str]]) -> list[str]:
    """The batch for the namespace itself, when all pairs are there."""
    lines = [] if inside["lo"].up else ["link set dev lo up"]
    lines += [_add(address, "lo") for address in sorted(space.local - inside["lo"].addresses)]
    wanted = {veth.inner for veth in space.veths}
    lines += [f"{links.DELETE}{name}" for name in inside if name not in wanted and name.startswith(space.owns)]
    for veth in space.veths:
        link = inside[veth.inner]
        lines += [f"link set dev {veth.inner} mtu {veth.mtu}"] if link.mtu != veth.mtu else []
        lines += [f"link set dev {veth.inner} address {veth.mac}"] if link.mac != veth.mac else []
        lines += [] if link.up else [f"link set dev {veth.inner} up"]
        lines += [_add(address, veth.inner) for address in sorted(veth.addresses - link.addresses)]
        lines += [f"address delete {a} dev {veth.inner}" for a in sorted(link.addresses - veth.addresses)]
    lost = {(where, how) for where, how in routes - space.routes if how.partition("dev ")[2].split()[0] in wanted}
    lines += [f"route delete {where} {how} proto {OURS}" for where, how in sorted(lost)]
    lines += [f"route replace {where} {how} proto {OURS}" for where, how in sorted(space.routes - routes)]
    return lines


def _add(address: str, device: str) -> str:
    return f"address add {address} dev {device}" + ("" if is_v4(address) else " nodad")


def converge(space: Space, host: str, outside: dict[str, Link]) -> list[str]:
    """Bring a namespace in line with `space`, whose bridges exist in namespace `host`; the batches that were needed."""
    made = netns.create(space.name)
    netns.sysctl(space.name, space.sysctls)
    inside, routes = observe(space.name)
    outer = plan_outer(space, outside, {} if made else inside)
    links.apply(host, outer)
    if outer:
        inside, routes = observe(space.name)
    inner = plan_inner(space, inside, routes)
    links.apply(space.name, inner)
    if any(line.startswith(("address delete", links.DELETE)) for line in inner):
        # The kernel takes routes away with their source.
        links.apply(space.name, plan_inner(space, *observe(space.name)))
    return [*outer, *inner]


def is_right(space: Space, outside: dict[str, Link]) -> bool:
    try:
        inside, routes = observe(space.name)
        return not plan_outer(space, outside, inside) and not plan_inner(space, inside, routes)
    except HostNetworkError:
        return False


def remove(name: str, outer: Iterable[str], host: str) -> None:
    """Remove the namespace, and the pairs that led to it at once: the kernel would do it a moment later."""
    for link in outer:
        links.delete(host, link)
    netns.remove(name)
