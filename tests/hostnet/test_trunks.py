"""Trunks: frames of subports between a guest that tags them and the subports' networks."""

import contextlib
import multiprocessing
import os
import signal
import socket
import struct
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from infra.host.network.topology import bring_about
from infra.hostnet import bpf, clsact, flows, links, netns
from infra.hostnet.models import AddressPair, Bandwidth, outer_name
from infra.hostnet.network import HostNetwork
from infra.hostnet.topology import Network
from tests.hostnet.conftest import Host, StandIn, filters, ingress, ip, pings, reaches
from tests.hostnet.frames import BROADCAST, arrives, ethernet, udp
from tests.hostnet.routed import entry
from tests.hostnet.tagged import (
    BLUE,
    GREEN,
    PLAIN,
    Behind,
    TrunkLab,
    Wire,
    arp_request,
    left,
    port_of,
    refuse_programs,
    tagged,
)
from tests.hostnet.test_audit import differences
from tests.hostnet.test_vxlan import Fabric, carries, fabric

__all__ = ["fabric"]
MARK = b"kilonova-test-frame"


@pytest.fixture
def lab(make_host: Callable[..., Host]) -> TrunkLab:
    return TrunkLab(make_host(lab_gateway=False))


@pytest.fixture
def carried(lab: TrunkLab) -> tuple[TrunkLab, Behind, Behind]:
    """Two subports on networks of two tenants with the same subnet, and a neighbour on each."""
    lab.neighbour(BLUE, 12)
    lab.neighbour(GREEN, 12)
    blue, green = lab.carry(t100=(BLUE, 11), t200=(GREEN, 11))
    for behind in (blue, green):
        behind.configure()
    return lab, blue, green


def datagram(to: StandIn, source: str, address: str) -> bytes:
    return ethernet(to.plug.mac_address, source, 0x0800, udp(address, to.address, MARK))


def test_a_tagged_question_is_asked_on_the_subports_network_and_answered_with_the_tag(lab: TrunkLab) -> None:
    neighbour = lab.neighbour(BLUE, 12)
    lab.subports = {100: port_of(lab.host, BLUE, 11)}
    lab.tell()
    assert lab.carried(100)
    wire, plug = Wire(lab.parent), lab.subports[100]
    question = arp_request(plug.mac_address, "10.2.0.11", neighbour.address)
    wire.send(tagged(ethernet(BROADCAST, plug.mac_address, 0x0806, question), 100))
    answer = wire.received(struct.pack("!H", 2) + bytes.fromhex(neighbour.plug.mac_address.replace(":", "")))
    assert answer and answer[12:18] == b"\x81\x00\x00\x64\x08\x06"


def test_guests_behind_tags_are_guests_like_any(carried: tuple[TrunkLab, Behind, Behind], tmp_path: Path) -> None:
    """DHCP, ICMP both ways, TCP with segments that the kernel cuts late, full-sized packets that may not be cut."""
    lab, blue, green = carried
    near, far = lab.others
    lab.host.net.sync()  # whose short ways they take
    near.listen(80)
    far.listen(81)
    assert pings(blue.ns, near.address, 5) and pings(near.ns, blue.address, 5)
    assert reaches(blue.ns, near.address, 80) and not reaches(blue.ns, near.address, 81), "its own network's"
    assert reaches(green.ns, far.address, 81) and not reaches(green.ns, far.address, 80)
    for guest in (near, blue):
        ip(guest.ns, "link", "set", "eth0", "mtu", "1450")
    near._sockets[0].close()
    near._sockets.clear()
    near.listen(82)
    assert carries(blue, near, 82, 3_000_000)
    blue.listen(83)
    assert carries(near, blue, 83, 3_000_000)
    assert netns.run(blue.ns, ["ping", "-c1", "-W1", "-M", "do", "-s", "1422", near.address])
    for behind, told in ((blue, BLUE), (green, GREEN)):
        ip(behind.ns, "address", "flush", "dev", "eth0")
        lease = behind.dhcp(tmp_path)
        assert (lease["ip"], lease["mtu"]) == ("10.2.0.11", str(told.mtu))
    parent = lab.parent
    parent_near = lab.neighbour(PLAIN, 12)
    assert pings(parent.ns, parent_near.address, 5), "what has no tag goes its way"


def test_frames_that_are_nobodys(carried: tuple[TrunkLab, Behind, Behind]) -> None:
    lab, blue, green = carried
    near, far = lab.others
    plain = lab.neighbour(PLAIN, 12)
    lab.host.net.sync()
    listening = {guest: guest.packets() for guest in (near, far, plain)}
    sender = lab.parent.packets()
    good = datagram(near, blue.plug.mac_address, blue.address)
    assert arrives(sender, tagged(good, 100), listening[near], MARK)
    assert arrives(sender, tagged(good, 100 | 5 << 13), listening[near], MARK), "a priority is no other number"
    mine = datagram(plain, lab.parent.plug.mac_address, lab.parent.address)
    assert arrives(sender, mine, listening[plain], MARK)
    stolen = datagram(near, green.plug.mac_address, blue.address)
    nobodys = {
        "an unknown number": tagged(good, 101),
        "another subport's number": tagged(good, 200),
        "no number": good,
        "another MAC address": tagged(stolen, 100),
        "another address": tagged(datagram(near, blue.plug.mac_address, "10.2.0.66"), 100),
        "two tags": tagged(good, 100, 100),
        "a tag of a number behind none": tagged(good, 0, 100),
        "a service's tag": tagged(good, 100, kind=0x88A8),
        "a service's tag around": tagged(tagged(good, 100), 7, kind=0x88A8),
    }
    heard = partial(_heard, sender, listening)
    assert {what: guests for what, frame in nobodys.items() if (guests := heard(frame))} == {}
    lab.trust()
    assert heard(tagged(good, 100)) == [near.address] and heard(tagged(stolen, 100)) == [near.address]
    for what in ("another subport's number", "no number", "another MAC address", "another address"):
        nobodys.pop(what)
    assert {what: guests for what, frame in nobodys.items() if (guests := heard(frame))} == {}


def _heard(sender: socket.socket, listening: dict[StandIn, socket.socket], frame: bytes) -> list[str]:
    """Addresses of the guests that get the frame."""
    return [guest.address for guest, receiver in listening.items() if arrives(sender, frame, receiver, MARK, 0.1)]


def test_what_neighbours_tag_themselves_is_not_taken_for_a_subports(carried: tuple[TrunkLab, Behind, Behind]) -> None:
    lab, blue, _ = carried
    near, _ = lab.others
    plain, wire = lab.neighbour(PLAIN, 12), Wire(lab.parent)
    lab.trust()
    toward = ethernet(blue.plug.mac_address, near.plug.mac_address, 0x0800, udp(near.address, blue.address, MARK))
    plain_parent = lab.parent.plug.mac_address
    fake = ethernet(plain_parent, plain.plug.mac_address, 0x0800, udp(near.address, blue.address, MARK))
    own = ethernet(plain_parent, plain.plug.mac_address, 0x0800, udp(plain.address, lab.parent.address, MARK))
    near.packets().send(toward)
    received = wire.received(MARK)
    assert received and received[12:16] == b"\x81\x00\x00\x64"
    plain.packets().send(own)
    received = wire.received(MARK)
    assert received and received[12:14] == b"\x08\x00"
    for sender, frame in ((plain, tagged(fake, 100)), (plain, tagged(own, 100)), (near, tagged(toward, 100))):
        sender.packets().send(frame)
        assert wire.received(MARK, 0.2) is None


def test_subports_come_and_go_while_the_guest_runs(carried: tuple[TrunkLab, Behind, Behind]) -> None:
    lab, blue, green = carried
    near, far = lab.others
    assert pings(blue.ns, near.address, 5) and lab.carried(100, 200)
    gone = lab.subports.pop(200)
    lab.tell()
    assert not pings(green.ns, far.address) and left(lab.host, [gone]) == [] and lab.carried(100)
    lab.subports[200] = gone
    lab.tell()
    assert pings(green.ns, far.address, 5) and pings(blue.ns, near.address, 5)
    lab.up = False
    lab.tell()
    assert not pings(blue.ns, near.address) and left(lab.host, [gone, lab.subports[100]]) == []
    lab.up = True
    lab.tell()
    assert pings(blue.ns, near.address, 5)
    lab.subports = {100: lab.subports[200], 200: lab.subports[100]}
    lab.tell()
    assert lab.carried(100, 200) and not pings(blue.ns, near.address), "the numbers were changed"
    assert lab.host.net.sync() == []


def test_a_rule_that_goes_cuts_a_subport(carried: tuple[TrunkLab, Behind, Behind]) -> None:
    lab, blue, _ = carried
    near, _ = lab.others
    assert pings(near.ns, blue.address, 5)
    lab.rules[blue.plug.port_id] = filters(blue.plug)
    lab.tell()
    assert not pings(near.ns, blue.address) and pings(blue.ns, near.address, 5)
    pair = AddressPair(ip_address="10.2.0.77/32")
    lab.rules[blue.plug.port_id] = filters(blue.plug, ingress(None), pairs=(pair,))
    lab.tell()
    ip(blue.ns, "address", "add", "10.2.0.77/24", "dev", "eth0")
    assert pings(near.ns, "10.2.0.77", 5)


def test_a_subports_bandwidth_is_its_own_and_its_flavors(carried: tuple[TrunkLab, Behind, Behind]) -> None:
    lab, blue, green = carried
    limited = filters(blue.plug, ingress(None)).model_copy(update={"qos": Bandwidth(ingress_kbps=1000)})
    lab.rules[blue.plug.port_id] = limited
    lab.tell()
    lab.host.net.sync()

    def shaped() -> set[str]:
        shown = netns.run(lab.host.ns, ["tc", "qdisc", "show"]).splitlines()
        return {line.split()[4] for line in shown if " tbf " in line}

    assert shaped() == {blue.plug.tap}
    lab.host.net.limit(lab.parent.plug.instance_id, Bandwidth(ingress_kbps=5000))
    assert shaped() == {blue.plug.tap, green.plug.tap, lab.parent.plug.tap}
    assert lab.host.net.sync() == [] and lab.carried(100, 200)


def test_a_guest_that_starts_again_has_another_tap(carried: tuple[TrunkLab, Behind, Behind]) -> None:
    lab, blue, _ = carried
    near, _ = lab.others
    plug = lab.parent.plug
    ids = {plug.port_id: "ACTIVE"} | {one.port_id: "ACTIVE" for one in lab.subports.values()}
    assert lab.host.net.tapped(plug.instance_id) == ids
    assert lab.host.net.report().ports.items() >= ids.items()
    links.delete(lab.host.ns, plug.tap)
    lab.host.net.sync()
    assert set(lab.states().values()) == {"waiting"}
    below = {port_id: state for port_id, state in lab.host.net.report().ports.items() if port_id in ids}
    assert set(below.values()) == {"DOWN"}
    again = StandIn(lab.host.ns, plug, f"br-{plug.network_id[:11]}")
    lab.host.guests.append(again)
    assert lab.host.net.tapped(plug.instance_id) == ids, "before anybody calls its server ACTIVE"
    wire = Wire(again)
    near.packets().send(
        ethernet(blue.plug.mac_address, near.plug.mac_address, 0x0800, udp(near.address, blue.address, MARK))
    )
    received = wire.received(MARK)
    assert received and received[12:16] == b"\x81\x00\x00\x64"


def test_nothing_is_left_of_a_server_with_a_trunk(carried: tuple[TrunkLab, Behind, Behind]) -> None:
    lab, _, _ = carried
    plugs, owner = [*lab.subports.values(), lab.parent.plug], lab.parent.plug.instance_id
    assert set(lab.host.net.ports()) > {plug.port_id for plug in plugs}
    lab.host.net.unplug(lab.parent.plug.port_id, owner)
    assert left(lab.host, plugs) == [] and lab.states() == {}
    assert owner not in lab.host.net.ports().values()
    assert lab.host.net.describe().loose == []
    lab.tell()
    assert left(lab.host, plugs) == [], "a parent that is not plugged here has none"
    assert lab.host.net.sync() == []


def test_a_port_of_another_server_brings_no_subports(lab: TrunkLab) -> None:
    """The network service's last word is of the server that had the port before."""
    lab.subports = {100: port_of(lab.host, BLUE, 11)}
    lab.networks.append(BLUE)
    lab.tell()
    assert lab.carried(100)
    lab.host.net.plug(lab.parent_plug.model_copy(update={"instance_id": "00000000-another-server"}))
    assert lab.states() == {} and left(lab.host, list(lab.subports.values())) == []


def test_what_is_missing_of_a_subport_or_too_many_is_named_and_mended(carried: tuple[TrunkLab, Behind, Behind]) -> None:
    """Mechanism: `network_host` names it, `HostNetwork.sync` mends it."""
    lab, blue, _ = carried
    host, port, tap = lab.host, blue.plug.port_id, lab.parent.plug.tap
    near, outer = lab.others[0], outer_name(port)
    stray = ["bpf", "direct-action", "bytecode", "1,6 0 0 0"]

    def found() -> list[tuple[str, str, str]]:
        return differences(lab.word(), host.net.describe())

    def tc(*words: str) -> None:
        netns.run(host.ns, ["tc", *words])

    assert found() == []
    damages: list[tuple[Callable[[], object], str, str]] = [
        (lambda: links.delete(host.ns, outer), f"port/{port} interfaces", "missing"),
        (lambda: ip(host.ns, "link", "set", outer, "down"), f"port/{port} interfaces", "missing"),
        (lambda: ip(host.ns, "link", "set", blue.plug.tap, "nomaster"), f"port/{port} interfaces", "missing"),
        (lambda: tc("qdisc", "delete", "dev", outer, "clsact"), f"port/{port} programs", "missing"),
        (lambda: tc("filter", "delete", "dev", tap, "egress"), f"port/{port} programs", "missing"),
        (lambda: tc("filter", "add", "dev", tap, "ingress", "prio", "9", *stray), f"port/{port} programs", "missing"),
        (lambda: host.net._store.drop_port(port), f"port/{port}", "missing"),
        (
            lambda: ip(host.ns, "link", "add", "sp-somebodys", "type", "veth", "peer", "name", "else"),
            "host sp-somebodys",
            "too many",
        ),
        (
            lambda: tc("qdisc", "add", "dev", near.plug.tap, "clsact"),
            f"host program {near.plug.tap}",
            "too many",
        ),
    ]
    for damage, what, problem in damages:
        damage()
        assert ("subport", what, problem) in (told := found()), (what, told)
        assert host.net.sync()
        assert found() == [] and host.net.sync() == [], what
        assert pings(blue.ns, near.address, 5), what
    lab.up = False
    assert {kind for kind, _, _ in found()} == {"rules", "subport"}, "the host was not told yet"
    lab.tell()
    assert found() == []


SECONDS = (0.02, 0.06, 0.1, 0.15, 0.2, 0.3, 0.45)


@pytest.mark.turns
@pytest.mark.parametrize("after_s", SECONDS)
def test_a_worker_that_is_killed_in_the_middle_leaves_nothing_that_sync_does_not_finish(
    make_host: Callable[..., Host], after_s: float
) -> None:
    lab = TrunkLab(make_host(lab_gateway=False))
    near = lab.neighbour(BLUE, 12)
    lab.networks.append(GREEN)
    lab.subports = {100: port_of(lab.host, BLUE, 11), 200: port_of(lab.host, GREEN, 11)}
    killed(lab.tell, after_s)
    again = HostNetwork(lab.host.settings)
    assert bring_about(again, lab.word()) == []
    again.sync()
    assert again.sync() == [] and differences(lab.word(), again.describe()) == []
    (blue, _) = lab.behind()
    blue.configure()
    assert pings(blue.ns, near.address, 5)
    owner = lab.parent.plug.instance_id
    killed(lambda: again.unplug(lab.parent.plug.port_id, owner), after_s)
    last = HostNetwork(lab.host.settings)
    last.unplug(lab.parent.plug.port_id, owner)
    last.sync()
    assert left(lab.host, [*lab.subports.values(), lab.parent.plug]) == [] and last.describe().loose == []
    assert owner not in last.ports().values()


def killed(work: Callable[[], object], after_s: float) -> None:
    """Begin it in a process that is killed then."""
    child = os.fork()
    if not child:
        with contextlib.suppress(BaseException):
            work()
        os._exit(0)
    time.sleep(after_s)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def test_a_kernel_without_programs_carries_no_subport_and_says_so(
    carried: tuple[TrunkLab, Behind, Behind],
) -> None:
    """The kernel of the child process refuses bpf()."""
    lab, _, _ = carried
    owner, tried = lab.parent.plug.instance_id, multiprocessing.get_context("fork")
    answers = tried.Queue()

    def without() -> None:
        for known in (clsact.unable, bpf.tag, flows.unable):
            known.cache_clear()
        refuse_programs()
        other = HostNetwork(lab.host.settings)
        states = other.tapped(owner)
        answers.put((states, other.describe(), other.sync(), left(lab.host, list(lab.subports.values()))))

    process = tried.Process(target=without)
    process.start()
    states, found, repaired, interfaces = answers.get(timeout=30)
    process.join(10)
    assert {state for port, state in states.items() if port != lab.parent.plug.port_id} <= {"DOWN"}
    assert interfaces == [] and found.subports == {} and "Function not implemented" in found.unable
    assert repaired == [] and differences(lab.word(), found) == []
    assert lab.host.net.report().ports[lab.subports[100].port_id] == "DOWN"


def test_a_subport_that_a_server_was_given_all_the_same_is_the_servers(
    carried: tuple[TrunkLab, Behind, Behind],
) -> None:
    """A tenant may say of a subport that it is nobody's, and boot with it."""
    lab, blue, _ = carried
    owner = "00000000-another-server"
    given = lab.subports[100].model_copy(update={"instance_id": owner})
    again = lab.host.boot(given)
    assert left(lab.host, [given]) == [given.tap] and lab.host.net.ports()[given.port_id] == owner
    lab.tell()
    lab.host.net.sync()
    assert lab.carried(200) and pings(again.ns, lab.others[0].address, 5)
    lab.host.net.unplug(given.port_id, owner)
    assert lab.carried(100, 200), "it is the trunk's again"
    assert pings(blue.ns, lab.others[0].address, 5)


def test_a_subport_across_hosts(fabric: Fabric) -> None:
    one, two = fabric.hosts(2)
    lab = TrunkLab(one.host)
    far = two.guest(Network.model_validate(BLUE.model_dump() | {"serves_dhcp": False, "peers": ["10.99.0.1"]}), 12)
    reached = BLUE.model_copy(update={"peers": ["10.99.0.2"]})
    two.host.net.ensure_network(BLUE.model_copy(update={"serves_dhcp": False, "peers": ["10.99.0.1"]}))
    far.listen(80)
    lab.networks.append(reached)
    (blue,) = lab.carry(t100=(reached, 11))
    blue.configure()
    for guest in (blue, far):
        ip(guest.ns, "link", "set", "eth0", "mtu", "1450")
    assert pings(blue.ns, far.address, 5) and pings(far.ns, blue.address, 5)
    assert carries(blue, far, 80)
    assert entry(blue).id in one.host.net.describe().served[BLUE.id]
