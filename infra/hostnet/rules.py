"""Security group rules as nftables for the bridge family: one chain per distinct list, one set per group and family.

Source: Networking API v2.0, security group rules; IANA protocol numbers."""

import hashlib
import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

from infra.hostnet.models import FilterRule, is_v4
from infra.hostnet.tables import Chain, Set

PROTOCOLS = {
    "icmp": 1, "igmp": 2, "ipip": 4, "tcp": 6, "egp": 8, "udp": 17, "dccp": 33, "ipv6-encap": 41, "ipv6-route": 43,
    "ipv6-frag": 44, "rsvp": 46, "gre": 47, "esp": 50, "ah": 51, "ipv6-icmp": 58, "icmpv6": 58, "ipv6-nonxt": 59,
    "ipv6-opts": 60, "ospf": 89, "vrrp": 112, "pgm": 113, "sctp": 132, "udplite": 136,
}  # fmt: skip
"""Neutron's protocol names."""
ICMP, ICMPV6 = 1, 58
WITH_PORTS = {6, 17, 33, 132, 136}
Ports = tuple[int, int]
ALL: Ports = (0, 65535)
Match = tuple[str, str, str]
"""Family, the other side, and protocol, as nftables writes the last two."""
ANY = {"ipv4": "ether type ip ", "ipv6": "ether type ip6 "}


@lru_cache(maxsize=4096)
def collapse(prefixes: tuple[str, ...], version: int = 4) -> list[str]:
    """Prefixes of one family without overlaps, since nftables refuses overlapping intervals; single addresses bare."""
    make = ipaddress.IPv4Network if version == 4 else ipaddress.IPv6Network
    networks = {make(p, strict=False) for p in prefixes if is_v4(p) == (version == 4)}
    if all(n.prefixlen == n.max_prefixlen for n in networks):  # a set of addresses: neighbours are not joined
        return [str(n.network_address) for n in sorted(networks)]
    found = ipaddress.collapse_addresses(networks)  # type: ignore[type-var]
    return [str(n.network_address) if n.prefixlen == n.max_prefixlen else str(n) for n in found]


@lru_cache(maxsize=4096)
def _digest(lines: tuple[str, ...]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


class RuleBook:
    """Collects the chains and address sets that the ports of a host need. `members`: addresses by name of the set, as
    rules give it (`remote_set`)."""

    def __init__(self, members: Mapping[str, Sequence[str]] | None = None) -> None:
        self.sets: dict[str, Set] = {}
        self.chains: dict[str, Chain] = {}
        self._members = members or {}
        self._known: dict[tuple[str, int], str] = {}

    def chain(self, direction: str, rules: Iterable[FilterRule], last: str, first: Sequence[str] = ()) -> str:
        """Name of the chain that returns for what `rules` allow in `direction`; between `first` and `last`."""
        found: dict[Match, set[Ports]] = {}
        for rule in rules:
            if rule.direction == direction and (matched := self._match(rule)):
                found.setdefault(matched[0], set()).add(matched[1])
        lines = (*first, *_lines(found), last)
        name = f"sg-{_digest(lines)}"
        self.chains[name] = Chain(lines)
        return name

    def _match(self, rule: FilterRule) -> tuple[Match, Ports] | None:
        """What the rule matches besides ports, and the ports; None when it allows nothing."""
        family = rule.ethertype.lower()
        if family not in ANY:
            return None
        where = self._remote(rule, 4 if family == "ipv4" else 6)
        what = _traffic(rule, 4 if family == "ipv4" else 6)
        return None if where is None or what is None else ((family, where, what[0]), what[1])

    def _remote(self, rule: FilterRule, version: int) -> str | None:
        """The match for the other side; None when nobody is meant."""
        anywhere, protocol = ANY[rule.ethertype.lower()], "ip" if version == 4 else "ip6"
        side = f"{protocol} {'saddr' if rule.direction == 'ingress' else 'daddr'}"
        if rule.remote_set is not None:
            return f"{side} @{self._group(rule.remote_set, version)} "
        if rule.remote_ips is None:
            return anywhere
        prefixes = collapse(tuple(rule.remote_ips), version)
        if any(prefix.endswith("/0") for prefix in prefixes):
            return anywhere
        if len(prefixes) < 2:
            return f"{side} {prefixes[0]} " if prefixes else None
        return f"{side} @{self._set(f'ip{version}-{_digest(tuple(prefixes))}', prefixes, version)} "

    def _group(self, group: str, version: int) -> str:
        """The set of a group's members; absent members are none."""
        if (group, version) not in self._known:
            prefixes = collapse(tuple(self._members.get(group, ())), version)
            # The kind is part of the name: a set cannot become one of intervals, but rules can name another set.
            mark = "r" if any("/" in prefix for prefix in prefixes) else "g"
            name = f"{mark}{version}-{group.replace(':', '-')}"
            self._known[group, version] = self._set(name, prefixes, version)
        return self._known[group, version]

    def _set(self, name: str, prefixes: list[str], version: int) -> str:
        interval = any("/" in prefix for prefix in prefixes)
        self.sets[name] = Set(f"ipv{version}_addr", frozenset(prefixes), interval)
        return name


def _lines(found: Mapping[Match, set[Ports]]) -> list[str]:
    """A rule for all of a family makes its others needless."""
    free = {family for (family, where, what), ports in found.items() if where + what == ANY[family] and ALL in ports}
    rest = {match: ports for match, ports in found.items() if match[0] not in free}
    return [
        *(f"{ANY[family]}return" for family in sorted(free)),
        *sorted(f"{_ordered(where, what)}{_ports(ports)}return" for (_, where, what), ports in rest.items()),
    ]


def _ordered(where: str, what: str) -> str:
    """A look into a set comes last, since it costs most."""
    return what + where if "@" in where else where + what


def _ports(ports: set[Ports]) -> str:
    """One match for all of them: a packet is looked up once, however many rules there are."""
    if ALL in ports:
        return ""
    merged: list[list[int]] = []
    for low, high in sorted(ports):
        if merged and low <= merged[-1][1] + 1:
            merged[-1][1] = max(merged[-1][1], high)
        else:
            merged.append([low, high])
    listed = [str(low) if low == high else f"{low}-{high}" for low, high in merged]
    return f"th dport {listed[0]} " if len(listed) == 1 else f"th dport {{ {', '.join(listed)} }} "


def _traffic(rule: FilterRule, version: int) -> tuple[str, Ports] | None:
    """Match for the protocol, and ports; None when the protocol is unknown, which must not allow anything."""
    name = str(rule.protocol).lower() if rule.protocol is not None else "any"
    low, high = rule.port_range_min, rule.port_range_max
    if name in ("any", "0"):
        return "", ALL
    number = PROTOCOLS.get(name) or (int(name) if name.isdecimal() and int(name) < 256 else None)
    if number is None:
        return None
    if name == "icmp" and version == 6:
        number = ICMPV6
    text = f"meta l4proto {number} "
    if number in (ICMP, ICMPV6) and (number == ICMP) == (version == 4):
        kind = "icmp" if number == ICMP else "icmpv6"
        text += f"{kind} type {low} " if low is not None else ""
        return text + (f"{kind} code {high} " if high is not None else ""), ALL
    if number in WITH_PORTS and (low is not None or high is not None):
        return text, (low if low is not None else 1, high if high is not None else 65535)
    return text, ALL
