"""What dnsmasq is told for one network: reservations by MAC address, options by subnet, names of the network's ports.

Source: dnsmasq(8); RFC 2132, 3442 (classless routes), 3646 (DNS by DHCPv6), 8106 (DNS by router advertisement)."""

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from infra.hostnet.models import is_v4
from infra.hostnet.spaces import INSIDE, METADATA
from infra.hostnet.topology import Network, NetworkPort, Subnet

LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
KEYWORD = re.compile(r"ignore|infinite|\d+[smhdw]?")  # words of a reservation that are not names
DOMAIN = re.compile(r"([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
LEASE_S = 86400
STATEFUL, STATELESS = "dhcpv6-stateful", "dhcpv6-stateless"


def host_name(port: NetworkPort) -> str:
    """The port's host name, '' when it is no DNS label or would mean something else in a reservation."""
    name = port.hostname.lower()
    return name if LABEL.fullmatch(name) and not KEYWORD.fullmatch(name) else ""


class Listening(Protocol):
    """What a dnsmasq is told: its own configuration, and the files that it reads again when it is asked to."""

    @property
    def interfaces(self) -> list[str]: ...
    def configuration(self) -> list[str]: ...
    def hosts(self) -> str: ...
    def options(self) -> str: ...
    def names(self) -> str: ...
    def leases(self) -> Callable[[str, str], bool]: ...


@dataclass
class Served:
    """A network as dnsmasq serves it. `held`: ids of subnets whose gateway address its namespace has; `upstream`: the
    name servers that questions about other names go to."""

    network: Network
    held: frozenset[str] = frozenset()
    upstream: tuple[str, ...] = ()
    _subnets: dict[str, Subnet] = field(init=False)

    def __post_init__(self) -> None:
        subnets = [s for s in self.network.subnets if s.enable_dhcp]
        self._subnets = {s.id: s for s in sorted(subnets, key=lambda s: s.id)}

    @property
    def interfaces(self) -> list[str]:
        return [INSIDE]

    @property
    def anything(self) -> bool:
        """Whether there is a subnet to be served."""
        return bool(self._subnets)

    def _addresses(self, port: NetworkPort) -> list[str]:
        """What DHCP gives the port: its first IPv4 address, and those of stateful IPv6 subnets."""
        found = [(f.ip_address, s) for f in port.fixed_ips if (s := self._subnets.get(f.subnet_id or ""))]
        four = [address for address, _ in found if is_v4(address)][:1]
        return four + [a for a, subnet in found if not is_v4(a) and subnet.ipv6_address_mode == STATEFUL]

    def _asks_only(self, port: NetworkPort) -> bool:
        """Whether the port may ask for options without an address."""
        found = [s for f in port.fixed_ips if (s := self._subnets.get(f.subnet_id or ""))]
        return any(subnet.ipv6_address_mode == STATELESS for subnet in found)

    def configuration(self) -> list[str]:
        lines = [f"interface={INSIDE}\nexcept-interface=lo\nbind-dynamic\nno-resolv\nno-hosts\nquiet-dhcp\nquiet-dhcp6"]
        lines += [f"server={address}" for address in self.upstream] or ["local=//"]
        domain = self.network.dns_domain.lower().rstrip(".")
        if domain and DOMAIN.fullmatch(domain):
            lines.append(f"domain={domain}\nexpand-hosts\nlocal=/{domain}/")
        lines += [line for subnet in self._subnets.values() for line in self._range(subnet)]
        if any(s.id in self.held and s.ipv6_ra_mode for s in self._subnets.values()):
            lines.append("enable-ra")
        return [*lines, "dhcp-lease-max=65536\ndhcp-ignore=tag:!known\ndhcp-ignore-names\ndhcp-authoritative\nno-ping"]

    def _range(self, subnet: Subnet) -> list[str]:
        net = ipaddress.ip_network(subnet.cidr)
        if net.version == 4:
            # Without an address of our own on the subnet, dnsmasq must be told that it lies behind the interface.
            shared = [] if subnet.id in self.held else [f"shared-network={INSIDE},{net.network_address}"]
            return [f"dhcp-range=set:{subnet.id},{net.network_address},static,{net.netmask},{LEASE_S}s", *shared]
        advertises = subnet.id in self.held and subnet.ipv6_ra_mode
        modes = {STATEFUL: "static", STATELESS: "ra-stateless" if advertises else "static"}
        mode = modes.get(subnet.ipv6_address_mode or subnet.ipv6_ra_mode or "", "ra-only" if advertises else "")
        return [f"dhcp-range=set:{subnet.id},{net.network_address},{mode},{net.prefixlen},{LEASE_S}s"] if mode else []

    def hosts(self) -> str:
        # No tags in reservations: dnsmasq 2.86 to 2.90 crash when they are read again after a lease was given.
        lines = []
        for port in self.network.ports:
            addresses = self._addresses(port)
            listed = [a if is_v4(a) else f"[{a}]" for a in addresses]
            if not addresses and self._asks_only(port):
                listed = [f"{LEASE_S}s"]  # a reservation of nothing makes the port known
            if listed:
                lines.append(
                    f"# {port.id}\n{','.join([port.mac_address, *listed, *filter(None, [host_name(port)])])}\n"
                )
        return "".join(lines)

    def answers(self) -> list[str]:
        """Ids of the ports that DHCP has an address for."""
        return [port.id for port in self.network.ports if self._addresses(port)]

    def options(self) -> str:
        return "".join(
            f"{line}\n" for s in self._subnets.values() for line in (_four if is_v4(s.cidr) else _six)(self, s)
        )

    def names(self) -> str:
        found = [(f.ip_address, host_name(p)) for p in self.network.ports for f in p.fixed_ips]
        return "".join(f"{address} {name}\n" for address, name in found if name)

    def leases(self) -> Callable[[str, str], bool]:
        """Whether (MAC address or IPv6 identity, address) of a line of the leases file is right today."""
        pairs = {(p.mac_address, a) for p in self.network.ports for a in self._addresses(p)}
        six = {a for _, a in pairs if not is_v4(a)}
        return lambda who, address: (who.lower(), address) in pairs if is_v4(address) else address in six


def _four(served: Served, subnet: Subnet) -> list[str]:
    tag, gateway, mtu = f"tag:{subnet.id}", subnet.gateway_ip, served.network.mtu
    ours = subnet.id in served.held
    servers = [s for s in subnet.dns_nameservers if is_v4(s)] or [str(gateway) if ours else METADATA]
    lines = [f"{tag},option:router,{gateway}" if gateway else f"{tag},option:router"]
    lines += [f"{tag},26,{mtu}", f"{tag},option:dns-server,{','.join(servers)}"]
    routes = [f"{r.destination},{r.nexthop}" for r in subnet.host_routes if is_v4(r.destination) and is_v4(r.nexthop)]
    if not ours:
        routes.append(f"{METADATA}/32,0.0.0.0")
    if routes:  # clients that take option 121 ignore the router option (RFC 3442)
        classless = ",".join([*routes, *([f"0.0.0.0/0,{gateway}"] if gateway else [])])
        lines += [f"{tag},121,{classless}", f"{tag},249,{classless}"]
    return lines


def _six(served: Served, subnet: Subnet) -> list[str]:
    return six_options(subnet)


def six_options(subnet: Subnet) -> list[str]:
    """What DHCPv6 and router advertisements tell of the subnet besides prefixes."""
    servers = [f"[{s}]" for s in subnet.dns_nameservers if not is_v4(s)]
    return [f"tag:{subnet.id},option6:dns-server,{','.join(servers)}"] if servers else []
