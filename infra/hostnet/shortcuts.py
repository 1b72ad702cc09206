"""A short way for UDP between guests: what the rules let through goes on from device to device for some seconds.

A packet that leaves by a tap or a tunnel has passed source check, connection tracking and rules. Its flow (tap, both
MAC addresses, both addresses, both ports) is noted there, and packets of that flow are handed on where they come in,
past bridge and rules, until the note expires: each flow is judged again every `LASTS_S`, which keeps its connection
known, too. Notes are not renewed by what uses them, and all are dropped when rules, members or ports change.

TCP needs its connection's every packet, and has few for its octets. Fragments, IPv6, guests with a limited bandwidth,
MAC addresses that two ports may use and bridges that are not ours take the long way."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from infra import logs
from infra.hostnet import netns
from infra.hostnet.guests import Guest
from infra.hostnet.loader import Loader
from infra.hostnet.models import Damage
from infra.hostnet.netns import HostNetworkError
from infra.hostnet.ruleset import BRIDGED, KEEP
from infra.hostnet.tables import Chain, Set, Table

log = logs.get("hostnet")
LASTS_S = 5
NEIGHBOUR_S = 300
"""As long as a bridge remembers where a MAC address is."""
FLOW = "@ll,0,112 . @nh,96,32 . @nh,128,32 . @th,0,32"
"""Both MAC addresses and the frame's type, both IPv4 addresses, both ports. Four octets of IP's header at a multiple of
four cost a packet least."""
WHOLE = "@nh,72,8 0x11 @nh,48,16 and 0x3fff == 0"
"""UDP that is no fragment, if it is IPv4: the protocol, and the header's flags and offset."""
IN_HURRY = f"meta mark and {BRIDGED:#x} == 0"
"""What no bridge of ours has handed to connection tracking: it takes the short way, and must not note its own flow."""


@dataclass(frozen=True)
class Domain:
    """A bridge with every guest on it, its tunnel ('' when it has none), and its zone of connection tracking."""

    bridge: str
    guests: Sequence[Guest] = field(default_factory=tuple)
    tunnel: str = ""
    zone: int = 0

    def known(self, devices: Mapping[str, int]) -> "Domain":
        """With the devices that exist."""
        guests = tuple(guest for guest in self.guests if guest.plug.tap in devices)
        return Domain(self.bridge, guests, self.tunnel if self.tunnel in devices else "", self.zone)

    def hurried(self) -> list[Guest]:
        return [g for g in self.guests if g.secured and not (g.bandwidth and g.bandwidth.egress_kbps)]

    def unique(self) -> set[str]:
        """MAC addresses that one port alone may use."""
        count = Counter(mac for guest in self.guests for mac in guest.sources)
        return {mac for mac, times in count.items() if times == 1}


class ShortWays(Protocol):
    """Whatever hands flows on that the rules let through."""

    def converge(self, domains: Sequence[Domain], devices: Mapping[str, int]) -> bool:
        """`devices`: index by name. Whether anything had to be changed."""

    def renew(self, domains: Sequence[Domain]) -> None:
        """What was let through is judged anew. Where ports are others now, the next `converge` makes their ways."""

    def damage(self, domains: Sequence[Domain], devices: Mapping[str, int], listing: str) -> list[Damage]:
        """What somebody else changed. `listing`: see `kernel_rules`."""

    def remove(self) -> None:
        """Everything takes the long way."""

    def forget(self) -> None:
        """What is there is not known any more."""


class Shortcuts:
    """Our table of the family netdev for `domains` in a namespace. Callers hold the lock of the rules."""

    def __init__(self, namespace: str, name: str, loader: Loader) -> None:
        self._namespace, self._name, self._loader = namespace, name, loader
        self._devices: Mapping[str, int] = {}
        self._refused, self._unsure = "", False

    def converge(self, domains: Sequence[Domain], devices: Mapping[str, int]) -> bool:
        """`devices`: index by name. Whether anything had to be loaded."""
        self._devices = devices
        wanted, extra = self._wanted(domains)
        asked = wanted.whole() + extra if wanted else ""
        if wanted and asked != self._refused:
            try:
                return self._loader.load([wanted], extra)
            except HostNetworkError as error:  # a kernel without the hook, or a tap went away meanwhile
                self._refused = asked
                log.info("no short ways", reason=str(error))
        self.remove()
        return False

    def renew(self, domains: Sequence[Domain]) -> None:
        """What was let through is judged anew. Where ports are others now, the next `converge` makes the table."""
        if not self._loader.loaded():
            return
        wanted, extra = self._wanted(domains)
        if not wanted or not self._loader.has([wanted], extra):
            self.remove()
            return
        try:
            sets = [name for name, one in wanted.sets.items() if one.timeout_s]
            self._run("".join(f"flush set netdev {self._name} {name}\n" for name in sets))
        except HostNetworkError:  # somebody changed the table
            self.remove()

    def damage(self, domains: Sequence[Domain], devices: Mapping[str, int], listing: str) -> list[Damage]:
        """Nothing while its devices are not those it was made for: the kernel drops what hangs on one that goes."""
        wanted, extra = self._wanted(domains)
        if not wanted or any(devices.get(name) != self._devices[name] for name in wanted.devices):
            return []
        return self._loader.damage([wanted], listing) if self._loader.has([wanted], extra) else []

    def remove(self) -> None:
        if self._loader.loaded() or self._unsure:
            self._run(f"table netdev {self._name}\ndelete table netdev {self._name}\n")
            self._loader.forget()
            self._unsure = False

    def forget(self) -> None:
        """What is loaded is not known any more."""
        self._loader.forget()
        self._unsure = True

    def _run(self, text: str) -> None:
        netns.run(self._namespace, ["nft", "-f", "-"], text)

    def _wanted(self, domains: Sequence[Domain]) -> tuple[Table | None, str]:
        known = [domain.known(self._devices) for domain in domains]
        wanted = table(self._name, known)
        return wanted, " ".join(f"{name}={self._devices[name]}" for name in (wanted.devices if wanted else ()))


def table(name: str, domains: Sequence[Domain]) -> Table | None:
    """None when no flow has a way from one device to another."""
    made = Table("netdev", name)
    devices: list[str] = []
    for domain in domains:
        taps = [guest.plug.tap for guest in domain.hurried()]
        found = [*taps, *([domain.tunnel] if domain.tunnel else [])]
        if taps and len(found) > 1:
            devices += found
            _add(made, domain, taps)
    made.devices = tuple(sorted(devices))
    return made if devices else None


def _add(made: Table, domain: Domain, taps: list[str]) -> None:
    bridge, tunnel, alone = domain.bridge, domain.tunnel, domain.unique()
    for tap in taps:
        _entrance(made, tap, (f"{WHOLE} {FLOW} @seen-{tap} goto send-{bridge}",))
    near = {mac: g.plug.tap for g in domain.hurried() for mac in g.sources if mac in alone}
    known = (one.split(" . ") for g in domain.hurried() for one in g.exact(4))
    senders = frozenset(f"{mac} . {ip} : goto note-{tap.strip(chr(34))}" for tap, mac, ip in known if mac in alone)
    made.sets |= {
        f"near-{bridge}": Set("ether_addr", frozenset(near)),
        f"at-{bridge}": Set("ether_addr : iface_index", frozenset(f'{m} : "{t}"' for m, t in near.items()), maps=True),
        f"from-{bridge}": Set("ether_addr . ipv4_addr : verdict", senders, maps=True),
    }
    here = f"fwd to ether daddr map @at-{bridge}"
    note = f"{WHOLE} meta protocol ip ether daddr @near-{bridge}"
    sender = f"ether saddr . ip saddr vmap @from-{bridge}"
    made.chains[f"send-{bridge}"] = Chain((here, *([f'fwd to "{tunnel}"'] if tunnel else [])))
    leave = [f"{IN_HURRY} accept", f"{note} {sender}"]
    if tunnel:
        _add_tunnel(made, domain, here)
        leave.append(f"{note} goto note-{tunnel}")
    listed = ", ".join(f'"{tap}"' for tap in sorted(taps))
    made.chains[f"out-{bridge}"] = Chain(
        tuple(leave), f"type filter hook egress devices = {{ {listed} }} priority 0; policy accept;"
    )


def _add_tunnel(made: Table, domain: Domain, here: str) -> None:
    """ARP tells which MAC addresses are beyond the tunnel: what a bridge floods there may be meant for another port."""
    bridge, tunnel = domain.bridge, domain.tunnel
    neighbour = f"ether type arp add @there-{bridge} {{ ether saddr }}"
    _entrance(made, tunnel, (f"{WHOLE} {FLOW} @seen-{tunnel} goto land-{bridge}", neighbour))
    made.sets[f"there-{bridge}"] = Set("ether_addr", timeout_s=NEIGHBOUR_S)
    made.chains[f"land-{bridge}"] = Chain(("meta mark set 0", here))  # whatever the tunnel's packet was marked with
    clear = f"meta mark set meta mark and {KEEP:#x}"
    note = f"{WHOLE} meta protocol ip ether daddr @there-{bridge} ether saddr . ip saddr vmap @from-{bridge}"
    made.chains[f"away-{bridge}"] = Chain(
        (f"{IN_HURRY} accept", clear, note),
        f'type filter hook egress device "{tunnel}" priority 0; policy accept;',
    )


def _entrance(made: Table, device: str, rules: tuple[str, ...]) -> None:
    made.sets[f"seen-{device}"] = Set(f"typeof {FLOW}", timeout_s=LASTS_S)
    made.chains[f"note-{device}"] = Chain((f"add @seen-{device} {{ {FLOW} }}",))
    made.chains[f"in-{device}"] = Chain(
        rules, f'type filter hook ingress device "{device}" priority -10; policy accept;'
    )
