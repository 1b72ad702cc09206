"""Real namespaces for each test: a host with HostNetwork in it, and guests on veth pairs under their taps' names."""

import contextlib
import os
import shutil
import socket
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from infra.hostnet import netns
from infra.hostnet.models import AddressPair, FilterAddress, FilterRule, FixedIp, PortFilter, PortPlug
from infra.hostnet.network import HostNetwork
from infra.settings import Settings

TIMEOUT_S = 0.3
PATH = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
UDHCPC = """#!/bin/sh
[ "$1" = bound ] || exit 0
ip address add "$ip/$mask" dev eth0
env > "$0.lease"
"""


def ip(namespace: str, *arguments: str) -> str:
    return subprocess.run(["ip", "-n", namespace, *arguments], check=True, capture_output=True, text=True).stdout


def tcp_open(namespace: str, address: str, port: int, timeout: float = TIMEOUT_S) -> socket.socket | None:
    """A connection from inside `namespace`, or None when it cannot be had in time."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    connection = netns.call(namespace, lambda: socket.socket(family, socket.SOCK_STREAM))
    connection.settimeout(timeout)
    try:
        connection.connect((address, port))
    except OSError:
        connection.close()
        return None
    return connection


def reaches(namespace: str, address: str, port: int) -> bool:
    connection = tcp_open(namespace, address, port)
    if connection:
        connection.close()
    return connection is not None


def pings(namespace: str, address: str, timeout: float = TIMEOUT_S) -> bool:
    """ICMP echo from inside `namespace`, asked for again every second until the time is over."""
    end = time.monotonic() + timeout
    while not (heard := _echo(namespace, address, min(timeout, 1.0))) and time.monotonic() < end:
        pass
    return heard


def _echo(namespace: str, address: str, timeout: float) -> bool:
    if ":" in address:
        command = ["ping", "-6", "-c1", "-W1", address]
        return not netns.call(namespace, lambda: subprocess.run(command, capture_output=True, check=False)).returncode
    raw = netns.call(namespace, lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP))
    with raw:
        raw.settimeout(timeout)
        body = b"\x08\x00\x00\x00" + os.urandom(4)
        total = sum(int.from_bytes(body[i : i + 2], "big") for i in range(0, 8, 2))
        total = (total & 0xFFFF) + (total >> 16)
        checksum = (~((total & 0xFFFF) + (total >> 16)) & 0xFFFF).to_bytes(2, "big")
        raw.sendto(body[:2] + checksum + body[4:], (address, 0))
        with contextlib.suppress(TimeoutError):
            while True:
                packet, (sender, _) = raw.recvfrom(2048)
                header = (packet[0] & 15) * 4
                if sender == address and packet[header] == 0 and packet[header + 4 : header + 8] == body[4:8]:
                    return True
    return False


class StandIn:
    """A guest: a namespace with eth0, whose other end is the port's tap on the bridge, as libvirt would leave it."""

    def __init__(self, host: str, plug: PortPlug, bridge: str, interface: str = "") -> None:
        self.plug, self.ns = plug, f"g{uuid.uuid4().hex[:10]}"
        name, mac = interface or plug.tap, plug.mac_address
        netns.create(self.ns)
        ours, theirs = f"{name} master {bridge} up", f"name eth0 address {mac} netns {self.ns}"
        ip(host, *f"link add {ours} type veth peer {theirs}".split())
        netns.run(self.ns, ["ip", "-batch", "-"], "link set lo up\nlink set eth0 up\n")
        while "state forwarding" not in ip(host, "-d", "link", "show", name):  # a bridge waits for the carrier
            time.sleep(0.01)
        self._sockets: list[socket.socket] = []

    @property
    def address(self) -> str:
        return self.plug.fixed_ips[0].ip_address

    def configure(self, address: str = "") -> None:
        address = address or self.address
        tail = ["/64", "dev", "eth0", "nodad"] if ":" in address else ["/24", "dev", "eth0"]
        ip(self.ns, "address", "add", address + tail[0], *tail[1:])

    def listen(self, port: int) -> None:
        self._sockets.append(netns.call(self.ns, lambda: socket.create_server(("0.0.0.0", port))))
        self._sockets.append(netns.call(self.ns, lambda: socket.create_server(("::", port), family=socket.AF_INET6)))

    def packets(self) -> socket.socket:
        """A raw packet socket on eth0."""
        packets = netns.call(self.ns, lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)))
        packets.bind(("eth0", 3))
        self._sockets.append(packets)
        return packets

    def dhcp(self, scratch: Path, tries: int = 3) -> dict[str, str]:
        """What busybox's DHCP client was given; empty when nobody answered."""
        script = scratch / f"udhcpc-{self.ns}"
        script.write_text(UDHCPC)
        script.chmod(0o755)
        lease = Path(f"{script}.lease")
        lease.unlink(missing_ok=True)
        command = ["busybox", "udhcpc", "-f", "-q", "-n", "-i", "eth0", "-t", str(tries), "-T", "1", "-s", str(script)]
        command += ["-O", "mtu", "-O", "staticroutes", "-O", "hostname"]
        netns.call(self.ns, lambda: subprocess.run(command, env=PATH, capture_output=True, timeout=20, check=False))
        return dict(line.split("=", 1) for line in lease.read_text().splitlines()) if lease.exists() else {}

    def close(self) -> None:
        for opened in self._sockets:
            opened.close()
        with contextlib.suppress(Exception):
            netns.remove(self.ns)


class Host:
    """One compute host in a namespace of its own."""

    def __init__(self, state: Path, **options: object) -> None:
        self.ns = f"kt{uuid.uuid4().hex[:8]}"
        defaults = {"state_dir": state, "netns": self.ns, "host": "h1", "lab_gateway": True}
        self.settings = Settings.model_validate(defaults | options)
        self.net = HostNetwork(self.settings)
        self.guests: list[StandIn] = []
        self.network_id = str(uuid.uuid4())
        self.subnet_id = str(uuid.uuid4())

    @property
    def home(self) -> str:
        """The namespace of the host's network, where the gateway is."""
        return self.space(self.network_id)

    def space(self, network_id: str) -> str:
        return self.net._store.space_name("net", network_id)

    def port(self, number: int, **changes: object) -> PortPlug:
        """A port with address 10.9.0.<number> on the host's network."""
        fixed = FixedIp(
            ip_address=f"10.9.0.{number}", subnet_id=self.subnet_id, cidr="10.9.0.0/24", gateway_ip="10.9.0.1"
        )
        known: dict[str, object] = {
            "port_id": str(uuid.uuid4()),
            "instance_id": str(uuid.uuid4()),
            "network_id": self.network_id,
            "mac_address": f"fa:16:3e:00:00:{number:02x}",
            "fixed_ips": [fixed],
            "hostname": f"guest-{number}",
        }
        return PortPlug.model_validate(known | changes)

    def boot(self, plug: PortPlug, *, configured: bool = True, bridge: str = "") -> StandIn:
        self.net.plug(plug)
        guest = StandIn(self.ns, plug, bridge or f"br-{plug.network_id[:11]}")
        self.guests.append(guest)
        if configured:
            guest.configure()
        return guest

    def close(self) -> None:
        for guest in self.guests:
            guest.close()
        try:
            self.net.teardown()
        finally:
            for name in netns.names():
                if name.startswith(self.ns):
                    netns.remove(name)
            shutil.rmtree(self.net._store.run, ignore_errors=True)


def filters(plug: PortPlug, *rules: FilterRule, pairs: tuple[AddressPair, ...] = ()) -> PortFilter:
    """A port's entry in the network service's answer: all egress, and `rules`."""
    return PortFilter(
        id=plug.port_id,
        mac_address=plug.mac_address,
        fixed_ips=[FilterAddress(ip_address=f.ip_address, subnet_id=f.subnet_id) for f in plug.fixed_ips],
        network_id=plug.network_id,
        device_id=plug.instance_id,
        allowed_address_pairs=list(pairs),
        rules=[FilterRule(direction="egress"), *rules],
    )


def ingress(protocol: str | None, port: int | None = None, remote: list[str] | None = None) -> FilterRule:
    return FilterRule(
        direction="ingress", protocol=protocol, port_range_min=port, port_range_max=port, remote_ips=remote
    )


@pytest.fixture
def make_host(tmp_path: Path) -> Iterator[Callable[..., Host]]:
    made: list[Host] = []

    def make(**options: object) -> Host:
        made.append(Host(tmp_path, **options))
        return made[-1]

    yield make
    for host in made:
        host.close()


@pytest.fixture
def host(make_host: Callable[..., Host]) -> Host:
    return make_host()


@pytest.fixture
def outside(host: Host) -> StandIn:
    """A machine beyond the uplink of the host's bridge, 10.9.0.99; no port of ours. Keeps the bridge alive."""
    host.net.plug(host.port(98))
    machine = StandIn(host.ns, host.port(99), f"br-{host.network_id[:11]}", "uplink")
    machine.configure()
    host.guests.append(machine)
    return machine
