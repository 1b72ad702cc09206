"""Router advertisements of one router, sent by a dnsmasq that answers nobody: DHCPv6 is the network's own server's.

Source: RFC 4861, 8106; dnsmasq(8)."""

from collections.abc import Callable
from dataclasses import dataclass

from infra.hostnet.models import is_v4
from infra.hostnet.served import Listening, six_options
from infra.hostnet.topology import Network, Router, Subnet

MODES = {"slaac": "ra-only", "dhcpv6-stateless": "ra-stateless", "dhcpv6-stateful": "static"}


@dataclass
class Advertised:
    """`subnets`: interface and subnet of each IPv6 network that the router tells guests about."""

    subnets: list[tuple[str, Subnet]]

    @property
    def interfaces(self) -> list[str]:
        return sorted({interface for interface, _ in self.subnets})

    def configuration(self) -> list[str]:
        lines = [f"interface={name}" for name in self.interfaces]
        ranges = [
            f"dhcp-range=set:{s.id},{s.cidr.partition('/')[0]},{MODES[s.ipv6_ra_mode or '']},{s.prefixlen},86400s"
            for _, s in self.subnets
        ]
        return [
            *lines,
            *ranges,
            "port=0\nexcept-interface=lo\nbind-dynamic\nenable-ra\nquiet-ra\ndhcp-ignore=tag:!known",
        ]

    def hosts(self) -> str:
        return ""

    def names(self) -> str:
        return ""

    def options(self) -> str:
        return "".join(f"{line}\n" for _, subnet in self.subnets for line in six_options(subnet))

    def leases(self) -> Callable[[str, str], bool]:
        return lambda _who, _address: False


def of_router(router: Router, networks: dict[str, Network], name: Callable[[str], str]) -> Listening | None:
    """None when no network of the router wants advertisements. `name`: the interface of a port's id."""
    found = [
        (name(port.port_id), subnet)
        for port in router.interfaces
        if port.admin_state_up and (network := networks.get(port.network_id))
        for fixed in port.fixed_ips
        if (subnet := network.subnet(fixed.subnet_id)) and not is_v4(subnet.cidr) and subnet.ipv6_ra_mode in MODES
    ]
    return Advertised(sorted(found, key=lambda one: (one[0], one[1].id))) if found else None
