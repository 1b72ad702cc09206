"""The whole nftables text of a host: anti-spoofing, security groups, and what guests may reach on the host itself.

Layers. The bridge family knows taps but has no connection tracking on common kernels; inet hooks, which bridged packets
reach through br_netfilter in between, have it but know no taps. They tell each other by the packet's mark: what a
guest's own rules do not let out is DENIED at its tap, unless connection tracking finds that it is a REPLY. All that is
decided about taps is decided in the bridge family, for every way to and from a tap: forwarded, from the host, to it.

Packets of a connection's own direction are judged by the rules each time and only answers pass by state, so a removed
rule cuts connections at once, without flushing anything, and a guest that migrated here keeps its connections.
Neighbour discovery and DHCP pass both ways whatever the groups say, as with Neutron's own firewall drivers.

Looks into sets cost most: a packet between two guests takes one for its source, its bridge, its target, and a group.
"""

from collections.abc import Iterator, Mapping, Sequence

from infra.hostnet import tunnels
from infra.hostnet.guests import Guest, GuestBridge, macs, source_sets, taps
from infra.hostnet.rules import ANY, RuleBook
from infra.hostnet.tables import Chain, Set, Table, chains

BRIDGED, REPLY, FROM_GUEST, DENIED = 0x00100000, 0x00200000, 0x00400000, 0x00800000
OURS = BRIDGED | REPLY | FROM_GUEST | DENIED
KEEP = 0xFFFFFFFF & ~OURS
LINK_LOCAL = "ether daddr and ff:ff:ff:ff:ff:f0 == 01:80:c2:00:00:00"
ANSWERS = f"meta mark and {REPLY:#x} == {REPLY:#x} return"

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
    iifname . ether saddr . ip saddr @sources return
    iifname . ether saddr . ip saddr @ranges return
    drop
  }}
  chain spoof6 {{
    icmpv6 type {{ 134, 137 }} drop
    ip6 saddr :: icmpv6 type {{ 131, 133, 135, 143 }} return
    icmpv6 type 136 iifname . @th,64,128 != @targets6 iifname != @wide6 drop
    iifname . ether saddr . ip6 saddr @sources6 return
    iifname . ether saddr . ip6 saddr @ranges6 return
    drop
  }}
  chain needed {{
    ether type {{ arp, 0x8035 }} return
    udp sport 68 udp dport 67 return
    ether type ip6 udp sport 546 udp dport 547 return
    icmpv6 type {{ 130, 131, 132, 133, 135, 136, 143 }} return
    meta mark set meta mark or {DENIED:#x}
  }}
  chain needed_stateless {{
    jump needed
    meta mark and {DENIED:#x} == {DENIED:#x} drop
  }}
  chain offered {{
    ether type arp return
    udp sport 67 udp dport 68 return
    ether type ip6 udp sport 547 udp dport 546 return
    icmpv6 type {{ 130, 131, 132, 134, 135, 136, 143 }} return
    drop
  }}
  chain deliver {{
    oifname . ether daddr vmap @to
    ether daddr and 01:00:00:00:00:00 == 01:00:00:00:00:00 oifname vmap @to_all
    oifname vmap @others
  }}
  chain on_prerouting {{
    type filter hook prerouting priority -300; policy accept;
    iifname != "tap*" accept
    udp sport 67 udp dport 68 iifname vmap @from
    iifname . ether saddr . ip saddr vmap @from4
    udp sport 547 udp dport 546 iifname vmap @from
    meta l4proto {{ 6, 17 }} iifname . ether saddr . ip6 saddr vmap @from6
    iifname vmap @from
  }}
  chain on_forward {{
    type filter hook forward priority 100; policy accept;
    meta mark and {DENIED | REPLY:#x} == {DENIED:#x} drop
    oifname "tap*" goto deliver
  }}
  chain on_output {{
    type filter hook output priority -100; policy accept;
    oifname "tap*" goto deliver
  }}
  chain link_local {{
    type filter hook input priority -101; policy accept;
    {LINK_LOCAL} iifname vmap @from
  }}
  chain on_input {{
    type filter hook input priority -100; policy accept;
    iifname @silent drop
    meta mark and {DENIED | REPLY:#x} == {DENIED:#x} drop
    meta mark and {OURS:#x} != 0 meta mark set meta mark and {KEEP:#x}
    iifname @taps meta mark set meta mark or {FROM_GUEST:#x}
  }}"""
# Link-local frames (01:80:c2:…) reach the input hook, and the bridge's table, without the prerouting hook.

INET_CHAINS = f"""
  chain replies {{
    ct state related meta mark set meta mark or {REPLY:#x}
    ct direction reply ct state established meta mark set meta mark or {REPLY:#x}
  }}
  chain zone_in {{
    type filter hook prerouting priority -300; policy accept;
    iifname vmap @bridges
  }}"""
BY_STATE = f"meta mark and {BRIDGED:#x} == {BRIDGED:#x} goto replies"
HOST_CHAINS = f"""
  chain host {{
    ct state related accept
    ct state established ct direction reply accept
    drop
  }}
  chain on_output {{
    type filter hook output priority -150; policy accept;
    {BY_STATE}
  }}
  chain on_input {{
    type filter hook input priority -150; policy accept;
    meta mark and {FROM_GUEST:#x} == {FROM_GUEST:#x} jump host
  }}
  chain on_forward {{
    type filter hook forward priority -150; policy accept;
    meta mark and {FROM_GUEST:#x} == {FROM_GUEST:#x} drop
  }}
  chain zone_out {{
    type filter hook output priority -300; policy accept;
    oifname vmap @bridges
  }}"""
# Only on bridges that others made can the host have an address, and guests something to ask of it.
OUR_BRIDGES = "br-"
TUNNELS_FIRST = f'@th,16,16 {tunnels.PORT} meta l4proto 17 iifname != "{OUR_BRIDGES}*" notrack accept'
"""Before the look for the bridge, which costs such a packet more than comparing a name's beginning."""


def guard(table: str, guests: Sequence[Guest]) -> Table | None:
    """For taps that exist: LLDP frames teach a bridge addresses without passing any of its hooks."""
    secured = [g for g in guests if g.secured]
    if not secured:
        return None
    devices = ", ".join(f'"{g.plug.tap}"' for g in secured)
    hook = f"type filter hook ingress devices = {{ {devices} }} priority 0; policy accept;"
    chain = Chain((f"{LINK_LOCAL} iifname . ether saddr != @macs drop",), hook)
    return Table("netdev", table, {"macs": macs(secured)}, {"guard": chain})


def _limit(guest: Guest) -> Chain | None:
    """What a guest sends beyond its bandwidth is dropped; what it receives is shaped at its tap (see `shaping`)."""
    qos = guest.bandwidth
    if not qos or not qos.egress_kbps:
        return None
    bytes_s, peak = qos.egress_kbps * 125, (qos.egress_peak_kbps or 0) * 125
    burst = max(qos.egress_burst_kbits * 125, bytes_s // 10, 65536)
    speeds = [(peak, max(peak // 10, 65536))] if peak else []
    limits = [*speeds, (bytes_s, burst)]
    return Chain(tuple(f"limit rate over {rate} bytes/second burst {most} bytes drop" for rate, most in limits))


KINDS = {
    "from": "ifname",
    "from4": "ifname . ether_addr . ipv4_addr",
    "from6": "ifname . ether_addr . ipv6_addr",
    "to": "ifname . ether_addr",
    "to_all": "ifname",
    "others": "ifname",
}


class _Ways:
    """For each port the chains that judge what comes from it and what goes to it. `from4`, `from6`: a short way for
    single addresses; whatever else comes takes `from`."""

    def __init__(self, book: RuleBook) -> None:
        self.chains: dict[str, Chain] = {}
        self.maps: dict[str, set[str]] = {name: set() for name in KINDS}
        self._book = book

    def add(self, guest: Guest) -> None:
        tap = guest.plug.tap
        verdict = self._judged(guest) if guest.secured else "accept"
        if limit := _limit(guest):
            name = f"limit-{tap}"
            self.chains[name] = Chain((*limit.rules, verdict))
            verdict = f"goto {name}"
        elif guest.secured:
            self._shorten(guest)
        self.maps["from"].add(f'"{tap}" : {verdict if guest.up else "drop"}')
        self.maps["others"].add(f'"{tap}" : {"accept" if guest.up and not guest.secured else "drop"}')
        if guest.secured:
            self._deliver(guest)

    def _egress(self, guest: Guest) -> str:
        return self._book.chain("egress", guest.rules, "goto needed" if guest.stateful else "goto needed_stateless")

    def _judged(self, guest: Guest) -> str:
        """Sources first: connection tracking, which comes next, must not see what a guest pretends to be."""
        allowed = self._egress(guest)
        name = f"from-{allowed.removeprefix('sg-')}"
        served = ("udp sport 67 udp dport 68 drop", "udp sport 547 udp dport 546 drop")
        self.chains[name] = Chain((*served, "jump spoof", f"goto {allowed}"))
        return f"goto {name}"

    def _shorten(self, guest: Guest) -> None:
        allowed = self._egress(guest)
        for version, family in ((4, "ipv4"), (6, "ipv6")):
            free = f"{ANY[family]}return" in self._book.chains[allowed].rules
            verdict = "accept" if free else f"goto {allowed}"
            self.maps[f"from{version}"] |= {f"{source} : {verdict}" for source in guest.exact(version)}

    def _deliver(self, guest: Guest) -> None:
        """A frame to nobody in particular, or to a MAC address that the port may have."""
        tap, first = guest.plug.tap, (ANSWERS,) if guest.stateful else ()
        allowed = self._book.chain("ingress", guest.rules, "goto offered", first)
        self.maps["to_all"].add(f'"{tap}" : goto {allowed}')
        self.maps["to"] |= {f'"{tap}" . {mac} : goto {allowed}' for mac in guest.sources}

    def sets(self) -> Iterator[tuple[str, Set]]:
        for name, elements in self.maps.items():
            yield name, Set(f"{KINDS[name]} : verdict", frozenset(elements), maps=True)


def bridge_table(
    table: str,
    guests: Sequence[Guest],
    members: Mapping[str, Sequence[str]],
    silent: Sequence[Guest] = (),
    *,
    own_namespace: bool,
) -> Table:
    """In a namespace of ours a tap that nobody plugged is cut off. `silent`: guests on bridges without an address: the
    host's own stack gets nothing from them, and does not route what they send to the bridge's MAC address."""
    book = RuleBook(members)
    ways = _Ways(book)
    for guest in guests:
        ways.add(guest)
    secured = [g for g in guests if g.secured]
    sets = {
        "silent": taps(silent),
        "taps": taps(guests),
        "macs": macs(secured),
        **source_sets(secured),
        **book.sets,
        **dict(ways.sets()),
    }
    found = chains(BRIDGE_CHAINS)
    if own_namespace:
        for name in ("on_prerouting", "deliver"):
            found[name] = Chain((*found[name].rules, "drop"), found[name].hook)
    return Table("bridge", table, sets, {**book.chains, **ways.chains, **found})


def inet_table(table: str, bridges: Sequence[GuestBridge], *, tunnelled: bool, vouched: bool = False) -> Table:
    """`tunnelled`: what goes between hosts is not tracked, since only what it carries has connections. `vouched`:
    programs where packets come in tell answers of connections that tracking does not see all of (see `flows`)."""
    verdicts = frozenset(f'"{b.name}" : goto zone-{b.name}' for b in bridges)
    zones = {f"zone-{b.name}": _zone(b, REPLY if vouched and not b.foreign else 0) for b in bridges}
    foreign = any(b.foreign for b in bridges)
    found = chains(INET_CHAINS) | (chains(HOST_CHAINS) if foreign else {})
    # Where guests reach nothing of the host itself, answers are all among what is forwarded, as no tunnel's packet is.
    hook = f"type filter hook {'prerouting' if foreign else 'forward'} priority -150; policy accept;"
    found["answers"] = Chain((BY_STATE,), hook)
    if tunnelled:
        found.setdefault("zone_out", Chain((), "type filter hook output priority -300; policy accept;"))
        for name in ("zone_in", "zone_out"):
            found[name] = Chain((*found[name].rules, f"udp dport {tunnels.PORT} notrack"), found[name].hook)
        if all(b.name.startswith(OUR_BRIDGES) for b in bridges):
            found["zone_in"] = Chain((TUNNELS_FIRST, *found["zone_in"].rules), found["zone_in"].hook)
    return Table("inet", table, {"bridges": Set("ifname : verdict", verdicts, maps=True)}, {**zones, **found})


def _zone(bridge: GuestBridge, kept: int) -> Chain:
    known = f"meta mark set meta mark and {KEEP | DENIED | kept:#x} or {BRIDGED:#x}"
    return Chain((known, *([f"ct zone set {bridge.zone}"] if bridge.zone else [])))
