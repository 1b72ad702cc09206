"""What a host's firewall must know of a plugged port, from its port file and from the network service."""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from infra.hostnet.models import Bandwidth, FilterRule, PortFilter, PortPlug
from infra.hostnet.rules import collapse
from infra.hostnet.spaces import eui64
from infra.hostnet.tables import Set


@dataclass(frozen=True)
class GuestBridge:
    """A bridge with plugged ports and its conntrack zone (0: the host's own). `foreign`: we did not make it, and the
    host may have an address on it."""

    name: str
    zone: int = 0
    foreign: bool = True


@dataclass
class Guest:
    """A plugged port and what the network service says about it; None (not said yet) denies all but DHCP."""

    plug: PortPlug
    known: PortFilter | None

    @property
    def secured(self) -> bool:
        return self.up and (self.known or self.plug).port_security_enabled

    @property
    def up(self) -> bool:
        return self.known is None or self.known.admin_state_up

    @property
    def rules(self) -> list[FilterRule]:
        return self.known.rules if self.known else []

    @property
    def stateful(self) -> bool:
        return self.known is None or self.known.stateful

    @property
    def bandwidth(self) -> Bandwidth | None:
        """Each way the lower of what the network service allows the port and the flavor its guest."""
        told = [limit for limit in (self.known.qos if self.known else None, self.plug.limits) if limit]
        if len(told) < 2:
            return told[0] if told else None
        lower: dict[str, int | None] = {}
        for way in ("egress", "ingress"):
            some = [limit for limit in (each.model_dump() for each in told) if limit[f"{way}_kbps"]]
            least = min(some, key=lambda limit: int(limit[f"{way}_kbps"]), default={})
            lower |= {name: value for name, value in least.items() if name.startswith(way)}
        return Bandwidth.model_validate(lower)

    @cached_property
    def sources(self) -> dict[str, list[str]]:
        """MAC address → prefixes that the guest may send from with it; IPv6 includes the MAC's link-local address."""
        source = self.known or self.plug
        found = {source.mac_address: [f.ip_address for f in source.fixed_ips]}
        for pair in source.allowed_address_pairs:
            found.setdefault(pair.mac_address or source.mac_address, []).append(pair.ip_address)
        return {mac: [*prefixes, eui64("fe80::/64", mac)] for mac, prefixes in found.items()}

    def exact(self, version: int) -> list[str]:
        """'TAP . MAC . address', as elements of a set, of each single address."""
        return [one for one in self._prefixes(version) if "/" not in one]

    def ranges(self, version: int) -> list[str]:
        return [one for one in self._prefixes(version) if "/" in one]

    def _prefixes(self, version: int) -> list[str]:
        tap, found = self.plug.tap, self.sources.items()
        return [f'"{tap}" . {mac} . {prefix}' for mac, some in found for prefix in collapse(tuple(some), version)]


def taps(guests: Iterable[Guest]) -> Set:
    return Set("ifname", frozenset(f'"{g.plug.tap}"' for g in guests))


def macs(guests: Iterable[Guest]) -> Set:
    return Set("ifname . ether_addr", frozenset(f'"{g.plug.tap}" . {mac}' for g in guests for mac in g.sources))


def source_sets(guests: list[Guest]) -> dict[str, Set]:
    """`sources` and `ranges` of IPv4, `sources6` and `ranges6`; `targets6`: what a guest may say it is the neighbour
    of; `wide6`: taps of guests with IPv6 ranges, whose claims cannot be listed."""
    exact = {version: {one for guest in guests for one in guest.exact(version)} for version in (4, 6)}
    ranges = {version: {one for guest in guests for one in guest.ranges(version)} for version in (4, 6)}
    targets = (one.split(" . ") for one in exact[6])
    wide = (one.split(" . ")[0] for one in ranges[6])
    kind = "ifname . ether_addr . {}_addr"
    return {
        "sources": Set(kind.format("ipv4"), frozenset(exact[4])),
        "ranges": Set(kind.format("ipv4"), frozenset(ranges[4]), interval=True),
        "sources6": Set(kind.format("ipv6"), frozenset(exact[6])),
        "ranges6": Set(kind.format("ipv6"), frozenset(ranges[6]), interval=True),
        "targets6": Set(
            "typeof iifname . @th,64,128", frozenset(f"{tap} . {_hexadecimal(address)}" for tap, _, address in targets)
        ),
        "wide6": Set("ifname", frozenset(wide)),
    }


def _hexadecimal(address: str) -> str:
    return f"{int(ipaddress.IPv6Address(address)):#034x}"
