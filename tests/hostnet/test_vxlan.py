"""Tenant networks across two and three hosts, which are namespaces on one switch."""

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from infra.hostnet import entries, links, netns, tunnels
from infra.hostnet.models import HostNetInventory
from infra.hostnet.topology import Network
from tests.hostnet.conftest import Host, StandIn, ip, pings, reaches, tcp_open
from tests.hostnet.routed import Lab, entry, external, floating, gateway, network, router

RED = network("red", "10.1.0.0/24", segment=1001, mtu=1450)
TWIN = network("twin", "10.1.0.0/24", segment=1002, mtu=1450)


class Fabric:
    """Hosts h1, h2, … with tunnel addresses 10.99.0.1, .2, … on one switch of MTU 1500."""

    def __init__(self, make_host: Callable[..., Host], scratch: Path) -> None:
        self.ns, self.labs = f"kf{uuid.uuid4().hex[:8]}", list[Lab]()
        self._make, self._scratch = make_host, scratch
        netns.create(self.ns)
        netns.sysctl(self.ns, {"bridge/bridge-nf-call-iptables": "0", "bridge/bridge-nf-call-ip6tables": "0"})
        ip(self.ns, "link", "add", "switch", "type", "bridge", "mcast_snooping", "0")
        ip(self.ns, "link", "set", "switch", "up")

    def hosts(self, number: int) -> list[Lab]:
        for n in range(len(self.labs) + 1, number + 1):
            state = self._scratch / f"h{n}"
            host = self._make(state_dir=state, host=f"h{n}", tunnel_ip=f"10.99.0.{n}", lab_gateway=False)
            host.net.ensure_namespace()
            ip(host.ns, "link", "add", "und0", "type", "veth", "peer", "name", f"p{n}", "netns", self.ns)
            ip(host.ns, "address", "add", f"10.99.0.{n}/24", "dev", "und0")
            ip(host.ns, "link", "set", "und0", "up")
            ip(self.ns, "link", "set", f"p{n}", "master", "switch", "up")
            self.labs.append(Lab(host))
        return self.labs

    def tell(self, told: Network, *places: int, dhcp: int = 0, **changes: object) -> None:
        """`told` to the hosts of these numbers, each with the others as peers."""
        for n in places:
            peers = [f"10.99.0.{other}" for other in places if other != n]
            update = {"peers": peers, "serves_dhcp": n == dhcp, **changes}
            self.labs[n - 1].host.net.ensure_network(Network.model_validate(told.model_dump() | update))


@pytest.fixture
def fabric(make_host: Callable[..., Host], tmp_path: Path) -> Iterator[Fabric]:
    fabric = Fabric(make_host, tmp_path)
    yield fabric
    netns.remove(fabric.ns)


def carries(source: StandIn, target: StandIn, port: int, amount: int = 300_000) -> bool:
    """Whether so many octets arrive over TCP, which full-sized packets are needed for."""
    connection = tcp_open(source.ns, target.address, port, 2)
    if not connection:
        return False
    accepted, _ = target._sockets[0].accept()
    with connection, accepted:
        connection.settimeout(3)
        accepted.settimeout(3)
        left, sent = amount, 0
        while left:
            sent += connection.send(b"x" * min(60_000, amount - sent)) if sent < amount else 0
            left -= len(accepted.recv(65536))
    return True


def test_guests_on_two_hosts_are_neighbours_with_packets_of_full_size(fabric: Fabric) -> None:
    one, two = fabric.hosts(2)
    fabric.tell(RED, 1, 2)
    here, there = one.guest(RED, 11, 80), two.guest(RED, 12, 80)
    assert pings(here.ns, there.address, 5) and pings(there.ns, here.address, 5)
    for guest in (here, there):
        ip(guest.ns, "link", "set", "eth0", "mtu", "1450")
    assert carries(here, there, 80)
    assert netns.run(here.ns, ["ping", "-c1", "-W1", "-M", "do", "-s", "1422", there.address])
    assert links.snapshot(one.host.ns)["vx1001"].mtu == 1450


def test_two_tenants_with_the_same_subnet_on_both_hosts(fabric: Fabric) -> None:
    one, two = fabric.hosts(2)
    for told in (RED, TWIN):
        fabric.tell(told, 1, 2)
    red, twin = one.guest(RED, 11, 80), one.guest(TWIN, 11, 81)
    red_far, twin_far = two.guest(RED, 12, 82), two.guest(TWIN, 12, 83)
    assert reaches(red.ns, "10.1.0.12", 82) and not reaches(red.ns, "10.1.0.12", 83)
    assert reaches(twin.ns, "10.1.0.12", 83) and not reaches(twin.ns, "10.1.0.12", 82)
    assert reaches(red_far.ns, "10.1.0.11", 80) and not reaches(red_far.ns, "10.1.0.11", 81)
    assert reaches(twin_far.ns, "10.1.0.11", 81)


def test_a_third_host_comes_and_goes(fabric: Fabric) -> None:
    one, two, three = fabric.hosts(3)
    fabric.tell(RED, 1, 2)
    here, there, late = one.guest(RED, 11, 80), two.guest(RED, 12, 80), three.guest(RED, 13, 80)
    assert pings(here.ns, there.address, 5) and not pings(here.ns, late.address)
    fabric.tell(RED, 1, 2, 3)
    for guest in (here, there):
        assert pings(guest.ns, late.address, 5) and pings(late.ns, guest.address, 5)
    fabric.tell(RED, 1, 2)
    assert entries.of_tunnel(one.host.ns, "vx1001") == {(tunnels.FLOOD, "10.99.0.2")}


def test_a_guest_that_moved_is_found_where_it_announces_itself(fabric: Fabric) -> None:
    one, two, three = fabric.hosts(3)
    fabric.tell(RED, 1, 2, 3)
    here, old = one.guest(RED, 11, 80), two.guest(RED, 12, 80)
    assert reaches(here.ns, old.address, 80)
    two.host.net.unplug(old.plug.port_id)
    new = three.guest(RED, 12, 81)
    sender = new.packets()
    rarp = bytes.fromhex("00010800060400030000000000000000000000000000000000000000")
    hardware = bytes.fromhex(new.plug.mac_address.replace(":", ""))
    sender.send((b"\xff" * 6 + hardware + b"\x80\x35" + rarp).ljust(60, b"\0"))
    assert reaches(here.ns, new.address, 81)


def test_dhcp_answers_once_for_all_hosts_and_survives_its_host(fabric: Fabric, tmp_path: Path) -> None:
    _, two = fabric.hosts(2)
    fabric.tell(RED, 1, 2)
    guest = two.guest(RED, 12)
    netns.run(guest.ns, ["ip", "address", "flush", "dev", "eth0"])
    known = {"ports": [entry(guest).model_dump()]}
    for serving, silent in ((1, 2), (2, 1)):
        fabric.tell(RED, 1, 2, dhcp=serving, **known)
        lease = guest.dhcp(tmp_path)
        assert lease["ip"] == guest.address and lease["mtu"] == "1450" and lease["router"] == "10.1.0.1"
        assert lease["staticroutes"] == "169.254.169.254/32 0.0.0.0 0.0.0.0/0 10.1.0.1"
        assert list(fabric.labs[serving - 1].host.net.describe().networks) == [RED.id]
        assert fabric.labs[silent - 1].host.net.describe().networks == {}
        assert lease["serverid"] == "169.254.169.254"
        netns.run(guest.ns, ["ip", "address", "flush", "dev", "eth0"])


def test_a_network_larger_than_the_path_is_told_as_large_as_it_is(fabric: Fabric, tmp_path: Path) -> None:
    one, two = fabric.hosts(2)
    fabric.tell(RED, 1, 2, mtu=1500)
    guest = two.guest(RED, 12)
    netns.run(guest.ns, ["ip", "address", "flush", "dev", "eth0"])
    fabric.tell(RED, 1, 2, dhcp=1, mtu=1500, ports=[entry(guest).model_dump()])
    assert guest.dhcp(tmp_path)["mtu"] == "1450"
    assert links.snapshot(one.host.ns)["vx1001"].mtu == 1450


def test_a_router_serves_guests_of_other_hosts(fabric: Fabric) -> None:
    one, two = fabric.hosts(2)
    fabric.tell(RED, 1, 2)
    guest = two.guest(RED, 12, 22)
    ip(one.host.ns, "link", "add", "br-provider", "type", "bridge")
    ip(one.host.ns, "link", "set", "br-provider", "up")
    one.networks(external())
    one.host.net.ensure_router(router("r", RED, outer=gateway(10), floating_ips=[floating("203.0.113.20", guest)]))
    outside = one.outside(443)
    assert pings(guest.ns, "10.1.0.1", 5), "once the router's interfaces have a carrier"
    assert reaches(guest.ns, "203.0.113.99", 443)
    assert reaches(outside.ns, "203.0.113.20", 22)


def test_what_is_damaged_is_repaired_and_nothing_stays(fabric: Fabric) -> None:
    one, two = fabric.hosts(2)
    fabric.tell(RED, 1, 2)
    here, there = one.guest(RED, 11), two.guest(RED, 12)
    bridge = f"bridge br-{RED.id[:11]}"
    assert one.host.net.sync() == []
    for damage in (
        ["bridge", "fdb", "delete", "00:00:00:00:00:00", "dev", "vx1001", "dst", "10.99.0.2"],
        ["bridge", "fdb", "append", "00:00:00:00:00:00", "dev", "vx1001", "dst", "10.99.0.77"],
        ["ip", "link", "delete", "vx1001"],
        ["ip", "link", "set", "vx1001", "nomaster"],
    ):
        netns.run(one.host.ns, damage)
        assert one.host.net.sync() == [bridge]
        assert entries.of_tunnel(one.host.ns, "vx1001") == {(tunnels.FLOOD, "10.99.0.2")}
        assert pings(here.ns, there.address, 5)
    one.host.net.keep_only([], [])
    one.host.net.unplug(here.plug.port_id)
    assert one.host.net.describe() == HostNetInventory(tunnelled=True)
    assert links.snapshot(one.host.ns).keys() == {"lo", "und0"}
