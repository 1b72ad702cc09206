"""The way out of a cloud on one machine; a namespace is the machine, another one the internet with a name server."""

import os
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from infra.hostnet import echo, links, netns, procs, wayout
from infra.hostnet.models import FixedIp
from tests.hostnet.conftest import Host, StandIn, filters, ingress, ip, pings, reaches
from tests.hostnet.routed import Lab, floating, gateway, network, router

SITE, NAME, RESOLVER, ABSENT = "198.51.100.7", "site.example.org", "198.51.100.53", "198.51.100.99"
MACHINE = "192.0.2.2"


def test_the_rules_for_pings_need_no_file_of_names() -> None:
    name = f"kw{uuid.uuid4().hex[:8]}"
    netns.create(name)
    try:
        bare = '[ ! -e /etc/protocols ] || mount --bind /dev/null /etc/protocols; exec ip -n "$0" -batch -'
        rules = "".join(f"rule add {rule}\n" for rule in wayout.PING_RULES)
        subprocess.run(["unshare", "--mount", "sh", "-c", bare, name], input=rules, text=True, check=True)
        assert "ipproto icmp lookup 188" in netns.run(name, ["ip", "rule", "show"])
    finally:
        netns.remove(name)


class World:
    """`machine` has an uplink to `internet`, and in it runs the host's network."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.machine, self.internet = (f"kw{uuid.uuid4().hex[:8]}" for _ in range(2))
        self._sockets: list[socket.socket] = []
        for name in (self.machine, self.internet):
            netns.create(name)
            ip(name, "link", "set", "lo", "up")
        ip(self.machine, "link", "add", "up0", "type", "veth", "peer", "name", "down0", "netns", self.internet)
        for name, device, address in ((self.machine, "up0", MACHINE), (self.internet, "down0", "192.0.2.1")):
            ip(name, "address", "add", f"{address}/24", "dev", device)
            ip(name, "link", "set", device, "up")
        ip(self.machine, "route", "add", "default", "via", "192.0.2.1")
        for address in (SITE, RESOLVER):
            ip(self.internet, "address", "add", f"{address}/32", "dev", "lo")
        self.serve(self.internet, SITE, 443)
        command = ["dnsmasq", "--keep-in-foreground", "--no-resolv", "--no-hosts", f"--address=/{NAME}/{SITE}"]
        command += [f"--listen-address={RESOLVER}", "--bind-interfaces", "--conf-file=/dev/null", "--user=root"]
        self.resolver = netns.call(self.internet, lambda: subprocess.Popen(command))

    def serve(self, namespace: str, address: str, port: int) -> None:
        self._sockets.append(netns.call(namespace, lambda: socket.create_server((address, port))))

    def guest(self, number: int = 100) -> StandIn:
        fixed = FixedIp(
            ip_address=f"192.168.56.{number}",
            subnet_id=self.host.subnet_id,
            cidr="192.168.56.0/24",
            gateway_ip="192.168.56.1",
        )
        plug = self.host.port(number, physical_network="provider", fixed_ips=[fixed])
        guest = self.inside(lambda: self.host.boot(plug, bridge="br-provider"))
        ip(guest.ns, "route", "add", "default", "via", "192.168.56.1")  # type: ignore[attr-defined]
        self.inside(lambda: self.host.net.apply_groups([filters(g.plug, ingress(None)) for g in self.host.guests], {}))
        return guest

    def inside(self, work: Callable[[], StandIn | list[str] | bool | None]) -> object:
        return netns.call(self.machine, work)

    def state(self) -> list[object]:
        """Everything that the machine's own network consists of."""
        commands = [["ip", "route"], ["ip", "rule"], ["nft", "list", "ruleset"], ["ip", "-6", "route"]]
        forwards = netns.call(self.machine, lambda: Path("/proc/sys/net/ipv4/ip_forward").read_text())
        return [links.snapshot(self.machine), forwards, *(netns.run(self.machine, c) for c in commands)]

    def close(self) -> None:
        self.inside(self.host.close)
        self.resolver.terminate()
        self.resolver.wait()
        for opened in self._sockets:
            opened.close()
        for name in (self.machine, self.internet):
            netns.remove(name)


@pytest.fixture
def make_world(make_host: Callable[..., Host]) -> Iterator[Callable[..., World]]:
    made: list[World] = []

    def make(**options: object) -> World:
        made.append(World(make_host(way_out_dns=[RESOLVER], **options)))
        return made[-1]

    yield make
    for world in made:
        world.close()


def resolved(guest: StandIn, name: str) -> str:
    command = ["busybox", "nslookup", "-type=a", name, "192.168.56.1"]
    done = netns.call(
        guest.ns, lambda: subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    )
    return done.stdout.rpartition("Address: ")[2].strip()


def test_a_guest_pings_the_outside_by_address_and_by_name(make_world: Callable[..., World]) -> None:
    world = make_world()
    before = world.state()
    guest = world.guest()
    assert pings(guest.ns, "192.168.56.1", 5) and pings(guest.ns, SITE, 5)
    assert resolved(guest, NAME) == SITE and pings(guest.ns, resolved(guest, NAME), 1)
    assert reaches(guest.ns, SITE, 443)
    assert not pings(guest.ns, ABSENT, 1), "nobody is there: no answer"
    assert not reaches(guest.ns, ABSENT, 443)
    assert world.state() == before, "nothing of the machine's own is changed"
    processes = [pid for pid, words in procs.commands() if any(world.host.ns in word for word in words)]
    assert len(processes) == 3, "dnsmasq, slirp4netns, echo"
    world.inside(world.host.net.teardown)
    assert world.state() == before
    assert not [pid for pid, words in procs.commands() if any(world.host.ns in word for word in words)]
    assert not [name for name in netns.names() if name.startswith(world.host.ns)]


def test_an_interface_of_the_machine_is_no_way_in(make_world: Callable[..., World]) -> None:
    world = make_world()
    for address in (MACHINE, "127.0.0.1"):
        world.serve(world.machine, address, 5000)
    guest = world.guest()
    assert reaches(guest.ns, SITE, 443)
    assert reaches(world.internet, MACHINE, 5000)
    for address in (MACHINE, "169.254.254.2", "127.0.0.1"):
        assert not reaches(guest.ns, address, 5000), address
    assert not pings(guest.ns, MACHINE)


def test_two_guests_with_one_identifier_get_their_own_answers(make_world: Callable[..., World]) -> None:
    world = make_world()
    one, two = world.guest(100), world.guest(101)
    assert pings(one.ns, SITE, 5) and pings(two.ns, SITE, 5)
    sockets = [netns.call(g.ns, lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)) for g in (one, two)]
    for number, sender in enumerate(sockets):
        sender.settimeout(1)
        sender.sendto(echo.sealed(b"\x08\0\0\0\x12\x34\0\x01guest %d" % number), (SITE, 0))
    for number, sender in enumerate(sockets):
        with sender:
            answer = sender.recv(100)
            assert answer[20:28] == echo.sealed(b"\0\0\0\0\x12\x34\0\x01guest %d" % number)[:8]
            assert answer.endswith(b"guest %d" % number)


def test_a_setting_turns_it_off(make_world: Callable[..., World]) -> None:
    world = make_world(way_out="none")
    guest = world.guest()
    assert pings(guest.ns, "192.168.56.1", 5)
    assert not pings(guest.ns, SITE) and not reaches(guest.ns, SITE, 443)


def test_a_killed_process_comes_back(make_world: Callable[..., World]) -> None:
    world = make_world()
    guest = world.guest()
    for name in ("slirp4netns", "infra.hostnet.echo"):
        pid = next(p for p, words in procs.commands() if name in " ".join(words) and world.host.home in " ".join(words))
        os.kill(pid, signal.SIGKILL)
        while Path(f"/proc/{pid}").exists():
            time.sleep(0.01)
        assert world.inside(world.host.net.sync) == ["bridge br-provider"]
        assert world.inside(world.host.net.sync) == []
        time.sleep(0.3)
        assert pings(guest.ns, SITE, 5) and reaches(guest.ns, SITE, 443)


def test_tenants_go_out_through_their_router(make_world: Callable[..., World]) -> None:
    world = make_world()
    lab, red = Lab(world.host), network("red", "10.1.0.0/24")
    outer = network("external", "192.168.56.0/24", physical_network="provider", external=True)

    def build() -> None:
        lab.networks(red, outer)
        guest = lab.guest(red, 11, 22)
        out = gateway(10, outer=outer)
        world.host.net.ensure_router(router("r", red, outer=out, floating_ips=[floating("192.168.56.20", guest)]))

    world.inside(build)
    guest = lab.guests[0]
    assert pings(guest.ns, SITE, 5) and reaches(guest.ns, SITE, 443)
    assert reaches(world.host.space(outer.id), "192.168.56.20", 22), "the operator's way to a floating address"
