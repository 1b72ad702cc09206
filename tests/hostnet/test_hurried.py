"""The short way of TCP: that it is taken, that connection tracking knows of a connection what it must, and that no
segment passes by it which the rules would stop."""

import re
import socket
import struct
from collections.abc import Iterator

import pytest

from infra.hostnet import bpf, flows, netns
from infra.hostnet.flow_programs import programs
from infra.hostnet.hooks import Held
from infra.hostnet.models import Bandwidth
from tests.hostnet.conftest import Host, StandIn, filters, ingress, ip, tcp_open
from tests.hostnet.frames import arrives, ethernet, tcp
from tests.hostnet.test_shortcuts import MARK
from tests.hostnet.test_vxlan import RED, Fabric, fabric

__all__ = ["fabric"]
PORT = 5000
COUNTED = f"""table bridge probe {{
  chain forward {{ type filter hook forward priority 0; tcp dport {PORT} counter; tcp sport {PORT} counter
  }}
}}
"""
IDLE_S, CLOSING_S, RESET_S = 432_000, 120, 10


class Connection:
    """A TCP connection that `one` opened to a port of `two`, at the host `host` of the first."""

    def __init__(self, host: str, one: StandIn, two: StandIn) -> None:
        self._host, self.address = host, two.address
        netns.run(host, ["nft", "-f", "-"], COUNTED)
        server = netns.call(two.ns, lambda: socket.create_server((two.address, PORT)))
        opened = tcp_open(one.ns, two.address, PORT, 2)
        assert opened
        self.one, (self.two, _) = opened, server.accept()
        for end in (self.one, self.two):
            end.settimeout(0.4)
        one._sockets += [server, self.one, self.two]
        self.port = self.one.getsockname()[1]

    def passes(self, amount: int = 1, *, back: bool = False) -> bool:
        sender, receiver = (self.two, self.one) if back else (self.one, self.two)
        try:
            while amount:
                sender.sendall(b"x" * min(amount, 100_000))
                left = min(amount, 100_000)
                amount -= left
                while left:
                    left -= len(receiver.recv(left))
        except OSError:
            return False
        return True

    def bridged(self) -> int:
        """Segments of either direction that the first's bridge forwarded."""
        listed = netns.run(self._host, ["nft", "list", "chain", "bridge", "probe", "forward"])
        return sum(int(number) for number in re.findall(r"packets (\d+)", listed))

    def entry(self) -> tuple[str, int]:
        """The state and the seconds that connection tracking gives it; '' when it knows none."""
        listed = netns.run(self._host, ["conntrack", "-L", "-p", "tcp", "--sport", str(self.port)])
        found = re.search(rf"tcp +6 (\d+) (\w+) src=\S+ dst={self.address}", listed)
        return (found[2], int(found[1])) if found else ("", 0)


@pytest.fixture
def pair(host: Host) -> tuple[StandIn, StandIn]:
    """The second may be asked by TCP; the first by nothing, so that it has answers by state alone."""
    one, two = host.boot(host.port(11)), host.boot(host.port(12))
    host.net.apply_groups([filters(one.plug), filters(two.plug, ingress("tcp"))], {})
    assert host.net.sync() == []
    return one, two


def open_(host: Host, pair: tuple[StandIn, StandIn]) -> Connection:
    """A connection whose segments take the short way."""
    made = Connection(host.ns, *pair)
    assert made.passes() and made.passes(back=True) and made.passes(2_000_000) and made.passes(2_000_000, back=True)
    return made


def test_segments_of_an_established_connection_meet_no_bridge(host: Host, pair: tuple[StandIn, StandIn]) -> None:
    connection = open_(host, pair)
    first = connection.bridged()
    assert connection.passes(1_000_000) and connection.passes(1_000_000, back=True)
    assert connection.bridged() == first
    assert host.net.sync() == []


def test_a_rule_that_goes_cuts_a_connection_at_once(host: Host, pair: tuple[StandIn, StandIn]) -> None:
    one, two = pair
    connection = open_(host, pair)
    host.net.apply_groups([filters(one.plug), filters(two.plug)], {})
    assert not connection.passes()


def test_answers_pass_by_state_after_much_that_tracking_did_not_see(host: Host, pair: tuple[StandIn, StandIn]) -> None:
    one, two = pair
    connection = open_(host, pair)
    for _ in range(2):
        assert connection.passes(3_000_000) and connection.passes(3_000_000, back=True)
        news = filters(two.plug, ingress("tcp"), ingress("udp", 53))
        host.net.apply_groups([filters(one.plug), news], {})
        first = connection.bridged()
        assert connection.passes(back=True) and connection.passes()
        assert connection.bridged() > first, "judged anew"
        host.net.apply_groups([filters(one.plug), filters(two.plug, ingress("tcp"))], {})
        assert connection.passes(back=True) and connection.passes()
    state, seconds = connection.entry()
    assert state == "ESTABLISHED" and seconds > IDLE_S - 60, (
        "a silent connection stays, whatever tracking has seen of it"
    )


def test_a_limit_on_the_way_changes_no_connection(host: Host, pair: tuple[StandIn, StandIn]) -> None:
    one, two = pair
    connection = open_(host, pair)
    limited = filters(two.plug, ingress("tcp")).model_copy(update={"qos": Bandwidth(egress_kbps=50_000)})
    host.net.apply_groups([filters(one.plug), limited], {})
    host.net.sync()
    first = connection.bridged()
    assert connection.passes(100_000, back=True) and connection.passes(100_000)
    assert connection.bridged() > first + 2, "no way past the limit"


@pytest.mark.parametrize("end", ["close", "reset", "half"])
def test_what_ends_a_connection_ends_its_entry(host: Host, pair: tuple[StandIn, StandIn], end: str) -> None:
    connection = open_(host, pair)
    if end == "reset":
        connection.one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.one.close()
        with pytest.raises(ConnectionResetError):
            connection.two.recv(1)
        assert connection.entry()[1] <= RESET_S
        return
    connection.one.shutdown(socket.SHUT_WR)
    assert connection.two.recv(1) == b""
    assert connection.entry()[1] <= CLOSING_S
    if end == "half":
        assert connection.passes(1_000_000, back=True)
        assert 0 < connection.entry()[1] <= CLOSING_S, "its other half goes on"
    connection.two.close()
    assert connection.one.recv(1) == b""
    assert connection.entry()[1] <= CLOSING_S


def test_the_same_ports_serve_a_connection_once_more(host: Host, pair: tuple[StandIn, StandIn]) -> None:
    one, two = pair
    connection = open_(host, pair)
    for end in (connection.one, connection.two):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        end.close()
    again = netns.call(one.ns, lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM))
    again.settimeout(2)
    again.bind((one.address, connection.port))
    again.connect((two.address, PORT))
    server = one._sockets[0]
    connection.one, (connection.two, _) = again, server.accept()
    one._sockets += [again, connection.two]
    assert connection.passes(2_000_000) and connection.passes(2_000_000, back=True)
    first = connection.bridged()
    assert connection.passes(1_000_000) and connection.bridged() == first
    state, seconds = connection.entry()
    assert state == "ESTABLISHED" and seconds > IDLE_S - 60


def test_nobody_else_uses_the_way_of_a_connection(host: Host, pair: tuple[StandIn, StandIn]) -> None:
    one, two = pair
    third = host.boot(host.port(13))
    host.net.apply_groups([filters(one.plug), filters(two.plug, ingress("tcp")), filters(third.plug)], {})
    host.net.sync()
    connection = open_(host, pair)
    sender, thief, receiver = one.packets(), third.packets(), two.packets()
    body = tcp(one.address, two.address, MARK, (connection.port, PORT), flags=0x10)
    known = ethernet(two.plug.mac_address, one.plug.mac_address, 0x0800, body)
    assert arrives(sender, known, receiver, MARK)
    assert not arrives(thief, known, receiver, MARK), "another tap"
    other = ethernet(two.plug.mac_address, third.plug.mac_address, 0x0800, body)
    assert not arrives(thief, other, receiver, MARK), "another's address"
    assert not arrives(sender, other, receiver, MARK), "another MAC address"
    tagged = ethernet(two.plug.mac_address, one.plug.mac_address, 0x8100, b"\0\x05\x08\0" + body)
    assert not arrives(sender, tagged, receiver, MARK), "another network by its tag"


def test_what_no_connection_has_takes_the_long_way_and_opens_none(host: Host, pair: tuple[StandIn, StandIn]) -> None:
    one, two = pair
    connection = Connection(host.ns, one, two)
    sender, receiver = two.packets(), one.packets()
    body = tcp(two.address, one.address, MARK, (PORT, 7777), flags=0x10)
    stray = ethernet(one.plug.mac_address, two.plug.mac_address, 0x0800, body)
    for _ in range(3):
        assert not arrives(sender, stray, receiver, MARK), "an answer to nothing"
    first = connection.bridged()
    asked = ethernet(
        two.plug.mac_address, one.plug.mac_address, 0x0800, tcp(one.address, two.address, MARK, (7, PORT), flags=0x02)
    )
    for _ in range(3):
        assert arrives(one.packets(), asked, two.packets(), MARK)
    assert connection.bridged() >= first + 3


@pytest.fixture
def apart(fabric: Fabric) -> Iterator[tuple[Host, tuple[StandIn, StandIn]]]:
    one, two = fabric.hosts(2)
    fabric.tell(RED, 1, 2)
    here, there = one.guest(RED, 11), two.guest(RED, 12)
    for guest in (here, there):
        ip(guest.ns, "link", "set", "eth0", "mtu", "1450")
    one.host.net.apply_groups([filters(here.plug)], {})
    two.host.net.apply_groups([filters(there.plug, ingress("tcp"))], {})
    for lab in (one, two):
        lab.host.net.sync()
    yield one.host, (here, there)


def test_between_hosts_it_is_the_same(apart: tuple[Host, tuple[StandIn, StandIn]], fabric: Fabric) -> None:
    near, pair = apart
    far = fabric.labs[1].host
    connection = open_(near, pair)
    first = connection.bridged()
    assert connection.passes(1_000_000) and connection.passes(1_000_000, back=True)
    assert connection.bridged() == first
    near.net.apply_groups([filters(pair[0].plug, ingress("udp", 53))], {})
    assert connection.passes(back=True) and connection.passes(), "an answer by state, from a tunnel"
    far.net.apply_groups([filters(pair[1].plug)], {})
    assert not connection.passes(), "the receiver's host knows that the rule is gone"
    assert connection.passes(back=True), "what it says within the connection are answers still"


def test_a_kernel_whose_tracking_cannot_be_asked_takes_the_programs_for_udp() -> None:
    maps = flows.make({})
    made = programs(maps, None, flows.hertz(), "x")
    held = [Held(bpf.load(program)) for program in made.values()]
    assert [program.name for program in made.values()] == ["ti_x", "to_x", "vi_x", "vo_x"] and len(held) == 4
    assert flows.unable() == "", "and one that can takes them all"
