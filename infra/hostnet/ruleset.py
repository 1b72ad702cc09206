"""The whole nftables text of a host: anti-spoofing, security groups, and what guests may reach on the host itself.

Layers. The bridge family knows taps but has no connection tracking on common kernels, so inet hooks, which bridged
packets reach through br_netfilter, note in the packet's mark that it answers a connection (REPLY); all decisions about
taps are then taken in the bridge family, for every way to and from a tap: forwarded, sent by the host, sent to it.

Packets of a connection's own direction are judged by the rules each time and only answers pass by state, so a removed
rule cuts connections at once, without flushing anything, and a guest that migrated here keeps its connections.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from infra.hostnet.models import PortFilter, PortPlug
from infra.hostnet.rules import RuleBook, collapse

REPLY = 0x00200000
FROM_GUEST = 0x00400000
KEEP = 0xFFFFFFFF & ~(REPLY | FROM_GUEST)


@dataclass
class GuestBridge:
    """A bridge with plugged ports and its conntrack zone (0: the host's own)."""

    name: str
    zone: int = 0


@dataclass
class Guest:
    """A plugged port and what the network service says about it; None (not said yet) denies all but DHCP."""

    plug: PortPlug
    known: PortFilter | None

    @property
    def secured(self) -> bool:
        return (self.known or self.plug).port_security_enabled

    @cached_property
    def sources(self) -> dict[str, list[str]]:
        """MAC address → IPv4 prefixes that the guest may send from with it."""
        source = self.known or self.plug
        found = {source.mac_address: [f.ip_address for f in source.fixed_ips]}
        for pair in source.allowed_address_pairs:
            found.setdefault(pair.mac_address or source.mac_address, []).append(pair.ip_address)
        return found


def _set(name: str, kind: str, elements: Iterable[str], flags: str = "") -> str:
    listed = ", ".join(sorted(elements))
    values = f" elements = {{ {listed} }}" if listed else ""
    return f"  set {name} {{ type {kind};{flags}{values} }}"


def _map(name: str, guests: list[Guest], chains: dict[str, str]) -> str:
    listed = ", ".join(f'"{g.plug.tap}" : goto {chains[g.plug.port_id]}' for g in guests)
    values = f" elements = {{ {listed} }}" if listed else ""
    return f"  map {name} {{ type ifname : verdict;{values} }}"


def _mac_set(guests: list[Guest]) -> str:
    return _set("macs", "ifname . ether_addr", (f'"{g.plug.tap}" . {mac}' for g in guests for mac in g.sources))


def _source_sets(guests: list[Guest]) -> list[str]:
    exact: list[str] = []
    ranges: list[str] = []
    for guest in guests:
        for mac, prefixes in guest.sources.items():
            for prefix in collapse(tuple(prefixes)):
                (ranges if "/" in prefix else exact).append(f'"{guest.plug.tap}" . {mac} . {prefix}')
    kind = "ifname . ether_addr . ipv4_addr"
    return [
        _mac_set(guests),
        _set("sources", kind, exact),
        _set("ranges", kind, ranges, " flags interval;"),
    ]


BRIDGE_CHAINS = f"""
  chain spoof {{
    iifname . ether saddr != @macs drop
    ether type 0x8035 return
    ether type != {{ ip, arp }} drop
    ether type arp iifname . arp saddr ether @macs arp saddr ip 0.0.0.0 return
    ether type arp iifname . arp saddr ether . arp saddr ip @sources return
    ether type arp iifname . arp saddr ether . arp saddr ip @ranges return
    ip saddr 0.0.0.0 udp sport 68 udp dport 67 return
    udp sport 67 udp dport 68 drop
    iifname . ether saddr . ip saddr @sources return
    iifname . ether saddr . ip saddr @ranges return
    drop
  }}
  chain leave {{
    ether type {{ arp, 0x8035 }} return
    meta mark and {REPLY:#x} == {REPLY:#x} return
    udp sport 68 udp dport 67 return
    iifname vmap @egress
    drop
  }}
  chain arrive {{
    ether type != {{ ip, arp }} drop
    ether daddr and 01:00:00:00:00:00 == 00:00:00:00:00:00 oifname . ether daddr != @macs drop
    ether type arp return
    meta mark and {REPLY:#x} == {REPLY:#x} return
    udp sport 67 udp dport 68 return
    oifname vmap @ingress
    drop
  }}
  chain on_prerouting {{
    type filter hook prerouting priority -300; policy accept;
    iifname @secured jump spoof
  }}
  chain on_forward {{
    type filter hook forward priority -100; policy accept;
    iifname @secured jump leave
    oifname @secured jump arrive
  }}
  chain on_output {{
    type filter hook output priority -100; policy accept;
    oifname @secured jump arrive
  }}
  chain on_input {{
    type filter hook input priority -100; policy accept;
    iifname @secured jump spoof
    iifname @secured jump leave
    meta mark and {REPLY:#x} == {REPLY:#x} meta mark set meta mark and {KEEP:#x}
    iifname @taps meta mark set meta mark or {FROM_GUEST:#x}
  }}"""
# The input hook checks sources again: most link-local frames (01:80:c2:…) reach it, and the bridge's table, directly.

STRAYS = """
  chain stray {
    type filter hook prerouting priority -301; policy accept;
    iifname "tap*" iifname != @taps drop
  }
  chain stray_output {
    type filter hook postrouting priority -301; policy accept;
    oifname "tap*" oifname != @taps drop
  }"""

INET_CHAINS = f"""
  chain reply {{
    meta mark set meta mark and {KEEP:#x}
    ct state related meta mark set meta mark or {REPLY:#x}
    ct state established ct direction reply meta mark set meta mark or {REPLY:#x}
  }}
  chain host {{
    ct state related accept
    ct state established ct direction reply accept
    drop
  }}
  chain on_prerouting {{
    type filter hook prerouting priority -150; policy accept;
    iifname @bridges jump reply
  }}
  chain on_postrouting {{
    type filter hook postrouting priority -150; policy accept;
    oifname @bridges jump reply
  }}
  chain on_input {{
    type filter hook input priority -150; policy accept;
    meta mark and {FROM_GUEST:#x} == {FROM_GUEST:#x} jump host
  }}
  chain on_forward {{
    type filter hook forward priority -150; policy accept;
    meta mark and {FROM_GUEST:#x} == {FROM_GUEST:#x} drop
  }}"""


def _zones(bridges: list[GuestBridge]) -> str:
    zones = ", ".join(f'"{b.name}" : {b.zone}' for b in bridges if b.zone)
    if not zones:
        return ""
    return f"""
  chain zone_in {{
    type filter hook prerouting priority -300; policy accept;
    ct zone set iifname map {{ {zones} }}
  }}
  chain zone_out {{
    type filter hook output priority -300; policy accept;
    ct zone set oifname map {{ {zones} }}
  }}"""


def render_guard(table: str, guests: list[Guest]) -> str:
    """A transaction for taps that exist: LLDP frames teach a bridge addresses without passing any of its hooks."""
    secured = [g for g in guests if g.secured]
    lines = [f"table netdev {table}", f"delete table netdev {table}"]
    if secured:
        devices = ", ".join(f'"{g.plug.tap}"' for g in secured)
        lines += [f"table netdev {table} {{", _mac_set(secured), "  chain guard {"]
        lines.append(f"    type filter hook ingress devices = {{ {devices} }} priority 0; policy accept;")
        lines.append("    iifname . ether saddr != @macs drop\n  }\n}")
    return "\n".join(lines) + "\n"


def render(table: str, guests: list[Guest], bridges: list[GuestBridge], *, own_namespace: bool) -> str:
    """One transaction that replaces our two tables; in a namespace of ours a tap that nobody plugged is cut off."""
    book = RuleBook()
    secured = [g for g in guests if g.secured]
    rules = {g.plug.port_id: g.known.rules if g.known else [] for g in secured}
    ingress = {port: book.chain("ingress", listed) for port, listed in rules.items()}
    egress = {port: book.chain("egress", listed) for port, listed in rules.items()}
    return "\n".join(
        [
            *(f"table {f} {table}\ndelete table {f} {table}" for f in ("bridge", "inet")),
            f"table bridge {table} {{",
            _set("taps", "ifname", (f'"{g.plug.tap}"' for g in guests)),
            _set("secured", "ifname", (f'"{g.plug.tap}"' for g in secured)),
            *_source_sets(secured),
            *book.render(),
            _map("ingress", secured, ingress),
            _map("egress", secured, egress),
            BRIDGE_CHAINS + (STRAYS if own_namespace else ""),
            "}",
            f"table inet {table} {{",
            _set("bridges", "ifname", (f'"{b.name}"' for b in bridges)),
            INET_CHAINS + _zones(bridges),
            "}\n",
        ]
    )
