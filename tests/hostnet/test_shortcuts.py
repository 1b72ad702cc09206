"""The short way of UDP, by programs and by nftables: that it is taken, and that no packet passes by it which the rules
would stop now."""

import functools
import json
import random
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from infra.hostnet import hooks, netns, tunnels
from infra.hostnet.hooks import Hook
from infra.hostnet.models import AddressPair, Bandwidth, FilterRule
from infra.hostnet.network import HostNetwork
from tests.hostnet.conftest import Host, StandIn, filters, ingress, ip, pings
from tests.hostnet.frames import arrives, ethernet, udp
from tests.hostnet.test_semantics import MEMBERS, SET, SOURCES, Packet, arrived, frame, passes, random_rule
from tests.hostnet.test_vxlan import RED, Fabric, fabric

__all__ = ["fabric"]
MARK = b"kilonova-test-frame"
COUNTED = """table bridge probe {
  chain forward { type filter hook forward priority 0; udp dport 5000 counter
  }
}
"""


class Flow:
    """A UDP socket of `one` and one of `two`, connected. `bridged` counts what a bridge forwarded to port 5000."""

    def __init__(self, host: str, one: StandIn, two: StandIn, port: int = 5000) -> None:
        self._host, self._ends, self._port = host, [one, two], port
        netns.run(host, ["nft", "-f", "-"], COUNTED)
        self.one, self.two = (self._socket(end) for end in self._ends)
        self.one.connect((two.address, port))
        self.two.connect((one.address, 4000))

    def _socket(self, end: StandIn) -> socket.socket:
        made = netns.call(end.ns, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        made.bind((end.address, 4000 if end is self._ends[0] else self._port))
        made.settimeout(0.25)
        end._sockets.append(made)
        return made

    def passes(self, *, back: bool = False) -> bool:
        sender, receiver = (self.two, self.one) if back else (self.one, self.two)
        sender.send(b"x")
        try:
            return receiver.recv(10) == b"x"
        except (TimeoutError, ConnectionRefusedError):
            return False

    def bridged(self) -> int:
        rules = json.loads(netns.run(self._host, ["nft", "-j", "list", "chain", "bridge", "probe", "forward"]))
        return int(rules["nftables"][-1]["rule"]["expr"][-1]["counter"]["packets"])


@pytest.fixture(params=["programs", "nftables"])
def make_host(make_host: Callable[..., Host], request: pytest.FixtureRequest) -> Callable[..., Host]:
    return functools.partial(make_host, short_ways=request.param)


@pytest.fixture
def pair(host: Host) -> tuple[StandIn, StandIn]:
    return booted(host)


def booted(host: Host) -> tuple[StandIn, StandIn]:
    """The second may be asked by UDP, and says nothing by itself."""
    one, two = host.boot(host.port(11)), host.boot(host.port(12))
    silent = filters(two.plug).model_copy(update={"rules": [ingress("udp")]})
    host.net.apply_groups([filters(one.plug), silent], {})
    assert host.net.sync() == []
    return one, two


def test_the_second_packet_of_a_flow_meets_no_bridge_and_its_answer_neither(
    host: Host, pair: tuple[StandIn, StandIn]
) -> None:
    flow = Flow(host.ns, *pair)
    assert flow.passes() and flow.passes(back=True)
    first = flow.bridged()
    assert first and flow.passes() and flow.passes()
    assert flow.bridged() == first
    assert flow.passes(back=True), "an answer, which no rule of its own allows"
    assert host.net.sync() == [], "what packets added is no damage"


def test_a_rule_that_goes_cuts_a_flow_at_once_and_so_does_a_member_that_leaves(
    host: Host, pair: tuple[StandIn, StandIn]
) -> None:
    one, two = pair
    flow = Flow(host.ns, *pair)
    assert flow.passes() and flow.passes()
    host.net.apply_groups([filters(one.plug), filters(two.plug)], {})
    assert not flow.passes()
    grouped = filters(two.plug, FilterRule(direction="ingress", protocol="udp", remote_set=SET))
    host.net.apply_groups([filters(one.plug), grouped], {SET: [f"{one.address}/32"]})
    assert flow.passes() and flow.passes()
    host.net.apply_groups([filters(one.plug), grouped], {SET: ["10.9.0.200/32"]})
    assert not flow.passes()


def test_nobody_else_uses_the_way_of_a_flow(host: Host, pair: tuple[StandIn, StandIn]) -> None:
    one, two = pair
    third = host.boot(host.port(13))
    silent = filters(two.plug).model_copy(update={"rules": [ingress("udp")]})
    host.net.apply_groups([filters(one.plug), silent, filters(third.plug)], {})
    host.net.sync()
    sender, thief, receiver = one.packets(), third.packets(), two.packets()
    mine, theirs = one.plug.mac_address, two.plug.mac_address
    known = ethernet(theirs, mine, 0x0800, udp(one.address, two.address, MARK))
    assert arrives(sender, known, receiver, MARK) and arrives(sender, known, receiver, MARK)
    assert not arrives(thief, known, receiver, MARK), "another tap"
    other = ethernet(theirs, third.plug.mac_address, 0x0800, udp(one.address, two.address, MARK))
    assert not arrives(thief, other, receiver, MARK), "another's address"
    assert not arrives(sender, other, receiver, MARK), "another MAC address"
    tagged = ethernet(theirs, mine, 0x8100, b"\0\x05\x08\0" + udp(one.address, two.address, MARK))
    assert not arrives(sender, tagged, receiver, MARK), "another network by its tag"
    assert arrives(sender, known, receiver, MARK)


def test_ports_that_go_or_are_limited_take_no_short_way(host: Host, pair: tuple[StandIn, StandIn]) -> None:
    one, two = pair
    flow = Flow(host.ns, *pair)
    assert flow.passes() and flow.passes()
    limited = filters(one.plug).model_copy(update={"qos": Bandwidth(egress_kbps=1000)})
    host.net.apply_groups([limited, filters(two.plug, ingress("udp"))], {})
    host.net.sync()
    first = flow.bridged()
    assert flow.passes() and flow.passes()
    assert flow.bridged() == first + 2
    host.net.unplug(two.plug.port_id)
    assert not flow.passes()
    assert host.net.sync() == []
    assert "flows" not in netns.run(host.ns, ["nft", "list", "tables"]) and hung(host, one) == []


def hung(host: Host, guest: StandIn) -> list[str]:
    """Names of the programs at the guest's tap."""

    def look() -> list[str]:
        index = socket.if_nametoindex(guest.plug.tap)
        return [one.name for hook in Hook for one in hooks.attached(index, hook)]

    return netns.call(host.ns, look)


def test_programs_that_somebody_took_away_come_back_and_the_other_kind_leaves_nothing(tmp_path: Path) -> None:
    host = Host(tmp_path)
    try:
        one, two = booted(host)
        flow = Flow(host.ns, one, two)
        names = hung(host, one)
        assert [name[:3] for name in names] == ["ti_", "to_"] and hung(host, two) == names

        def take() -> None:
            index = socket.if_nametoindex(one.plug.tap)
            hooks.detach(index, Hook.INGRESS, hooks.attached(index, Hook.INGRESS)[0].id)

        netns.call(host.ns, take)
        assert host.net.sync() == ["filters"] and host.net.sync() == []
        assert hung(host, one) == names
        assert flow.passes() and flow.passes()
        first = flow.bridged()
        assert flow.passes() and flow.bridged() == first
        other = HostNetwork(host.settings.model_copy(update={"short_ways": "nftables"}))
        other.sync()
        assert hung(host, one) == [] and "_flows" in netns.run(host.ns, ["nft", "list", "tables"])
        again = HostNetwork(host.settings)
        again.sync()
        assert hung(host, one) == names and "_flows" not in netns.run(host.ns, ["nft", "list", "tables"])
    finally:
        host.close()


def test_a_mac_address_that_two_ports_may_use_has_none(host: Host) -> None:
    shared = (AddressPair(ip_address="10.9.0.100", mac_address="00:00:5e:00:01:01"),)
    one, two, three = (host.boot(host.port(n)) for n in (11, 12, 13))
    known = [filters(guest.plug, ingress("udp"), pairs=shared) for guest in (one, two)]
    host.net.apply_groups([*known, filters(three.plug, ingress("udp"))], {})
    host.net.sync()
    flow, sender, receiver = Flow(host.ns, three, one), three.packets(), one.packets()
    body = udp(three.address, "10.9.0.100", MARK, (4000, 5000))
    packet = ethernet("00:00:5e:00:01:01", three.plug.mac_address, 0x0800, body)
    assert arrives(sender, packet, receiver, MARK)
    first = flow.bridged()
    assert arrives(sender, packet, receiver, MARK) and flow.bridged() > first
    assert flow.passes()
    first = flow.bridged()
    assert flow.passes() and flow.bridged() == first, "an address that is one port's alone"


@pytest.fixture
def apart(fabric: Fabric) -> Iterator[tuple[Fabric, StandIn, StandIn]]:
    one, two = fabric.hosts(2)
    fabric.tell(RED, 1, 2)
    here, there = one.guest(RED, 11), two.guest(RED, 12)
    one.host.net.apply_groups([filters(here.plug)], {})
    two.host.net.apply_groups([filters(there.plug).model_copy(update={"rules": [ingress("udp")]})], {})
    one.host.net.sync()
    two.host.net.sync()
    yield fabric, here, there


def test_flows_between_hosts_meet_neither_bridge(apart: tuple[Fabric, StandIn, StandIn]) -> None:
    fabric, here, there = apart
    near, far = (lab.host for lab in fabric.labs)
    flow, landed = Flow(near.ns, here, there), far.ns
    netns.run(landed, ["nft", "-f", "-"], COUNTED)
    assert flow.passes() and flow.passes(back=True) and flow.passes()
    first = flow.bridged()
    assert flow.passes() and flow.passes(back=True) and flow.bridged() == first
    far.net.apply_groups([filters(there.plug)], {})
    assert not flow.passes(), "the receiver's host knows that the rule is gone"
    ip(near.ns, "link", "delete", "vx1001")
    assert near.net.sync() == [f"bridge br-{RED.id[:11]}"]
    assert near.net.sync() == []


def test_a_guest_that_came_from_another_host_is_not_sought_there(fabric: Fabric) -> None:
    one, two = fabric.hosts(2)
    fabric.tell(RED, 1, 2)
    here, there = one.guest(RED, 11), two.guest(RED, 12)
    one.host.net.sync()
    assert pings(here.ns, there.address, 5), "ARP from there is heard"
    two.host.net.unplug(there.plug.port_id)
    come = one.guest(RED, 12)
    one.host.net.apply_groups([filters(here.plug), filters(come.plug, ingress("udp"))], {})
    one.host.net.sync()
    flow = Flow(one.host.ns, here, come)
    ip(here.ns, "neigh", "replace", come.address, "lladdr", come.plug.mac_address, "dev", "eth0")
    for port in ("vx1001", come.plug.tap):
        ip(one.host.ns, "link", "set", port, "type", "bridge_slave", "fdb_flush")
    assert flow.passes() and flow.passes() and flow.passes(), "though a bridge floods what it has not heard of"


def test_what_goes_between_hosts_has_no_connection_and_a_guests_own_tunnel_has(
    apart: tuple[Fabric, StandIn, StandIn],
) -> None:
    fabric, here, there = apart
    flow = Flow(fabric.labs[0].host.ns, here, there, tunnels.PORT)
    assert flow.passes() and flow.passes(back=True), "an answer, which no rule of its own allows"
    for lab in fabric.labs:
        tracked = netns.run(lab.host.ns, ["conntrack", "-L", "-p", "udp"])
        assert f"dst={there.address} sport=4000 dport={tunnels.PORT}" in tracked
        assert "10.99.0." not in tracked


def test_flows_obey_rules_that_change_as_the_model_says(host: Host) -> None:
    dice = random.Random(7)
    one, two = host.boot(host.port(11)), host.boot(host.port(12))
    sources = [address for address in SOURCES[4] if address != one.address]
    free = filters(one.plug, pairs=tuple(AddressPair(ip_address=address) for address in sources))
    sender, receiver = one.packets(), two.packets()
    flows = [Packet(4, source, 17, port=port) for source in SOURCES[4] for port in (21, 22, 23, 80, 1001, 65535)]
    packets = {b"packet-%04d" % n: packet for n, packet in enumerate(flows)}
    for turn in range(8):
        rules = [of_udp(random_rule(dice)) for _ in range(dice.randrange(1, 4))]
        host.net.apply_groups([free, filters(two.plug).model_copy(update={"rules": rules})], {SET: MEMBERS})
        if not turn:
            host.net.sync()
        for marker, packet in [*packets.items()] * 2:
            sender.send(frame(packet, marker, two, one))
        expected = {marker for marker, packet in packets.items() if passes(rules, packet)}
        assert {packets[m] for m in arrived(receiver, 0.2) ^ expected} == set(), rules


def of_udp(rule: FilterRule) -> FilterRule:
    """Half of what is asked for at random is about IPv6 or other protocols: here everything may be about UDP."""
    known = rule.protocol if rule.protocol is None else "udp"
    ports = {"port_range_min": None, "port_range_max": None} if rule.protocol in ("icmp", "gre") else {}
    remote = {} if rule.remote_ips is None or rule.remote_ips[:1] == ["10.9.0.200/32"] else {"remote_ips": None}
    return rule.model_copy(update={"ethertype": "IPv4", "protocol": known, **ports, **remote})


def test_what_somebody_changes_of_the_short_ways_is_put_right(make_host: Callable[..., Host]) -> None:
    host = make_host(short_ways="nftables")
    pair = one, two = booted(host)
    flow = Flow(host.ns, *pair)
    names = json.loads(netns.run(host.ns, ["nft", "-j", "list", "tables", "netdev"]))["nftables"]
    (table,) = (entry["table"]["name"] for entry in names if "table" in entry)
    netns.run(host.ns, ["nft", f'insert rule netdev {table} in-{one.plug.tap} fwd to "{two.plug.tap}"'])
    host.net.apply_groups([filters(guest.plug) for guest in pair], {})
    assert flow.passes(), "whatever the rules say"
    noted = netns.run(host.ns, ["nft", "list", "set", "netdev", table, f"seen-{one.plug.tap}"])
    assert "elements" not in noted, "what takes the short way does not open it"
    assert host.net.sync() == ["filters"]
    assert not flow.passes()
    assert host.net.sync() == []
