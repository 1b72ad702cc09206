"""The whole nftables text of a host: anti-spoofing, security groups, and what guests may reach on the host itself.

Layers. The bridge family knows taps but has no connection tracking on common kernels, so inet hooks, which bridged
packets reach through br_netfilter, note in the packet's mark that it answers a connection (REPLY); all decisions about
taps are then taken in the bridge family, for every way to and from a tap: forwarded, sent by the host, sent to it.

Packets of a connection's own direction are judged by the rules each time and only answers pass by state, so a removed
rule cuts connections at once, without flushing anything, and a guest that migrated here keeps its connections.
Neighbour discovery and DHCP pass both ways whatever the groups say, as with Neutron's own firewall drivers.
"""

from collections.abc import Mapping, Sequence

from infra.hostnet.guests import Guest, GuestBridge, macs, source_sets, taps
from infra.hostnet.rules import RuleBook
from infra.hostnet.tables import Chain, Set, Table, chains

REPLY = 0x00200000
FROM_GUEST = 0x00400000
KEEP = 0xFFFFFFFF & ~(REPLY | FROM_GUEST)

BRIDGE_CHAINS = f"""
  chain spoof {{
    iifname . ether saddr != @macs drop
    ether type 0x8035 return
    ether type != {{ ip, arp, ip6 }} drop
    ether type ip6 goto spoof6
    ether type arp iifname . arp saddr ether @macs arp saddr ip 0.0.0.0 return
    ether type arp iifname . arp saddr ether . arp saddr ip @sources return
    ether type arp iifname . arp saddr ether . arp saddr ip @ranges return
    ip saddr 0.0.0.0 udp sport 68 udp dport 67 return
    udp sport 67 udp dport 68 drop
    iifname . ether saddr . ip saddr @sources return
    iifname . ether saddr . ip saddr @ranges return
    drop
  }}
  chain spoof6 {{
    icmpv6 type {{ 134, 137 }} drop
    udp sport 547 udp dport 546 drop
    ip6 saddr :: icmpv6 type {{ 131, 133, 135, 143 }} return
    icmpv6 type 136 iifname . @th,64,128 != @targets6 iifname != @wide6 drop
    iifname . ether saddr . ip6 saddr @sources6 return
    iifname . ether saddr . ip6 saddr @ranges6 return
    drop
  }}
  chain leave {{
    ether type {{ arp, 0x8035 }} return
    meta mark and {REPLY:#x} == {REPLY:#x} iifname != @stateless return
    udp sport 68 udp dport 67 return
    ether type ip6 udp sport 546 udp dport 547 return
    icmpv6 type {{ 130, 131, 132, 133, 135, 136, 143 }} return
    iifname vmap @egress
    drop
  }}
  chain arrive {{
    ether type != {{ ip, arp, ip6 }} drop
    ether daddr and 01:00:00:00:00:00 == 00:00:00:00:00:00 oifname . ether daddr != @macs drop
    ether type arp return
    meta mark and {REPLY:#x} == {REPLY:#x} oifname != @stateless return
    udp sport 67 udp dport 68 return
    ether type ip6 udp sport 547 udp dport 546 return
    icmpv6 type {{ 130, 131, 132, 134, 135, 136, 143 }} return
    oifname vmap @ingress
    drop
  }}
  chain on_prerouting {{
    type filter hook prerouting priority -300; policy accept;
    iifname @down drop
    iifname @secured jump spoof
    iifname vmap @limits
  }}
  chain on_forward {{
    type filter hook forward priority -100; policy accept;
    oifname @down drop
    iifname @secured jump leave
    oifname @secured jump arrive
  }}
  chain on_output {{
    type filter hook output priority -100; policy accept;
    oifname @down drop
    oifname @secured jump arrive
  }}
  chain on_input {{
    type filter hook input priority -100; policy accept;
    iifname @down drop
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
  }}
  chain zone_in {{
    type filter hook prerouting priority -300; policy accept;
    ct zone set iifname map @zones
  }}
  chain zone_out {{
    type filter hook output priority -300; policy accept;
    ct zone set oifname map @zones
  }}"""


def guard(table: str, guests: Sequence[Guest]) -> Table | None:
    """For taps that exist: LLDP frames teach a bridge addresses without passing any of its hooks."""
    secured = [g for g in guests if g.secured]
    if not secured:
        return None
    devices = ", ".join(f'"{g.plug.tap}"' for g in secured)
    hook = f"type filter hook ingress devices = {{ {devices} }} priority 0; policy accept;"
    chain = Chain(("iifname . ether saddr != @macs drop",), hook)
    return Table("netdev", table, {"macs": macs(secured)}, {"guard": chain})


def _limit(guest: Guest) -> Chain | None:
    """What a guest sends beyond its bandwidth is dropped; what it receives is shaped at its tap (see `shaping`)."""
    qos = guest.known.qos if guest.known else None
    if not qos or not qos.egress_kbps:
        return None
    bytes_s = qos.egress_kbps * 125
    burst = max(qos.egress_burst_kbits * 125, bytes_s // 10, 65536)
    return Chain((f"limit rate over {bytes_s} bytes/second burst {burst} bytes drop",))


def bridge_table(
    table: str, guests: Sequence[Guest], members: Mapping[str, Sequence[str]], *, own_namespace: bool
) -> Table:
    """In a namespace of ours a tap that nobody plugged is cut off."""
    book = RuleBook(members)
    secured = [g for g in guests if g.secured]
    rules = {g.plug.tap: g.known.rules if g.known else [] for g in secured}
    verdicts = {
        way: Set(
            "ifname : verdict", frozenset(f'"{tap}" : goto {book.chain(way, r)}' for tap, r in rules.items()), maps=True
        )
        for way in ("ingress", "egress")
    }
    limits = {f"limit-{g.plug.tap}": chain for g in guests if (chain := _limit(g))}
    jumps = frozenset(f'"{name.removeprefix("limit-")}" : jump {name}' for name in limits)
    sets = {
        "taps": taps(guests),
        "secured": taps(secured),
        "stateless": taps(g for g in secured if not g.stateful),
        "down": taps(g for g in guests if not g.up),
        "macs": macs(secured),
        **source_sets(secured),
        **book.sets,
        **verdicts,
        "limits": Set("ifname : verdict", jumps, maps=True),
    }
    strays = chains(STRAYS) if own_namespace else {}
    return Table("bridge", table, sets, {**book.chains, **limits, **chains(BRIDGE_CHAINS), **strays})


def inet_table(table: str, bridges: Sequence[GuestBridge]) -> Table:
    zones = frozenset(f'"{b.name}" : {b.zone}' for b in bridges if b.zone)
    sets = {
        "bridges": Set("ifname", frozenset(f'"{b.name}"' for b in bridges)),
        "zones": Set("typeof iifname : ct zone", zones, maps=True),
    }
    return Table("inet", table, sets, chains(INET_CHAINS))
