"""Security group rules as nftables text for the bridge family: one chain per distinct list, shared by ports."""

import hashlib
import ipaddress
from collections.abc import Iterable
from functools import lru_cache

from infra.hostnet.models import FilterRule, is_v4

PROTOCOLS = {
    "icmp": 1, "igmp": 2, "ipip": 4, "tcp": 6, "egp": 8, "udp": 17, "dccp": 33, "rsvp": 46, "gre": 47, "esp": 50,
    "ah": 51, "ospf": 89, "vrrp": 112, "pgm": 113, "sctp": 132, "udplite": 136,
}  # fmt: skip
"""Neutron's protocol names for IPv4 (IANA numbers)."""
ICMP = 1
WITH_PORTS = {6, 17, 33, 132, 136}


@lru_cache(maxsize=4096)
def collapse(prefixes: tuple[str, ...]) -> list[str]:
    """IPv4 prefixes without overlaps, since nftables refuses overlapping intervals; single addresses without /32."""
    networks = [ipaddress.IPv4Network(p, strict=False) for p in prefixes if is_v4(p)]
    return [str(n.network_address) if n.prefixlen == 32 else str(n) for n in ipaddress.collapse_addresses(networks)]


@lru_cache(maxsize=4096)
def _digest(lines: tuple[str, ...]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


class RuleBook:
    """Collects the chains and address sets that the ports of a host need, each named by its content."""

    def __init__(self) -> None:
        self.sets: dict[str, list[str]] = {}
        self.chains: dict[str, list[str]] = {}

    def chain(self, direction: str, rules: Iterable[FilterRule]) -> str:
        """Name of the chain that returns for what `rules` allow in `direction` and drops the rest."""
        lines = sorted({line for rule in rules if rule.direction == direction and (line := self._line(rule))})
        lines = [*lines, "drop"] if "return" not in lines else ["return"]
        name = f"sg-{_digest(tuple(lines))}"
        self.chains[name] = lines
        return name

    def _line(self, rule: FilterRule) -> str:
        """One rule; '' when it allows nothing over IPv4."""
        if rule.ethertype.lower() != "ipv4":
            return ""
        where, known = self._remote(rule)
        what = _traffic(rule)
        return f"{where}{what}return" if known and what is not None else ""

    def _remote(self, rule: FilterRule) -> tuple[str, bool]:
        if rule.remote_ips is None:
            return "", True
        side = "saddr" if rule.direction == "ingress" else "daddr"
        prefixes = collapse(tuple(rule.remote_ips))
        if prefixes == ["0.0.0.0/0"]:
            return "", True
        if len(prefixes) < 2:
            return f"ip {side} {prefixes[0]} " if prefixes else "", bool(prefixes)
        name = f"ip-{_digest(tuple(prefixes))}"
        self.sets[name] = prefixes
        return f"ip {side} @{name} ", True

    def render(self) -> list[str]:
        lines = []
        for name, prefixes in sorted(self.sets.items()):
            lines.append(f"  set {name} {{ type ipv4_addr; flags interval; elements = {{ {', '.join(prefixes)} }} }}")
        for name, body in sorted(self.chains.items()):
            lines.append(f"  chain {name} {{ {'; '.join(body)}; }}")
        return lines


def _traffic(rule: FilterRule) -> str | None:
    """Match for protocol and ports; None when the protocol is unknown, which must not allow anything."""
    name = str(rule.protocol).lower() if rule.protocol is not None else "any"
    low, high = rule.port_range_min, rule.port_range_max
    if name in ("any", "0"):
        return ""
    number = PROTOCOLS.get(name) or (int(name) if name.isdigit() and int(name) < 256 else None)
    if number is None:
        return None
    text = f"meta l4proto {number} "
    if number == ICMP:
        text += f"icmp type {low} " if low is not None else ""
        return text + (f"icmp code {high} " if high is not None else "")
    if number in WITH_PORTS and (low is not None or high is not None):
        first, last = low if low is not None else 1, high if high is not None else 65535
        text += f"th dport {first} " if first == last else f"th dport {first}-{last} "
    return text
