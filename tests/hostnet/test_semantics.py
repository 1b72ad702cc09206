"""Random rules against random packets: what arrives is what a small model of Neutron's groups says.

The model: a packet passes when any rule of its direction and family matches protocol, ports or ICMP type and code,
and the other side's address. Source: Networking API v2.0, security group rules."""

import random
import socket
import struct
import time
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

import pytest

from infra.hostnet.models import AddressPair, FilterRule, FixedIp, PortPlug
from tests.hostnet.conftest import Host, StandIn, filters
from tests.hostnet.frames import ethernet

SET = "group:5f0c3a6e-5b0e-4b39-9d6e-000000000001"
MEMBERS = ["10.9.0.32/28", "10.9.0.77/32", "2001:db8:9::20/124", "2001:db8:9::77/128"]
SOURCES = {
    4: ["10.9.0.11", "10.9.0.33", "10.9.0.77", "10.9.0.200"],
    6: [f"2001:db8:9::{n}" for n in ("11", "21", "77", "200")],
}
TARGET = {4: "10.9.0.12", 6: "2001:db8:9::12"}
PORTS = [21, 22, 23, 80, 1000, 1001, 1002, 65535]
NUMBERS = {"tcp": 6, "udp": 17, "gre": 47, "sctp": 132, "icmp": 1, "ipv6-icmp": 58}


@dataclass(frozen=True)
class Packet:
    version: int
    source: str
    protocol: int
    port: int = 0
    kind: int = 0
    code: int = 0


def passes(rules: list[FilterRule], packet: Packet) -> bool:
    return any(_matches(rule, packet) for rule in rules)


def _matches(rule: FilterRule, packet: Packet) -> bool:
    if rule.direction != "ingress" or rule.ethertype != f"IPv{packet.version}" or not _remote(rule, packet.source):
        return False
    if rule.protocol is None:
        return True
    number = NUMBERS.get(str(rule.protocol)) or int(rule.protocol)
    if number == 1 and packet.version == 6:
        number = 58
    if number != packet.protocol:
        return False
    low, high = rule.port_range_min, rule.port_range_max
    if number in (1, 58):
        return low in (None, packet.kind) and high in (None, packet.code)
    return number == 47 or low is None or low <= packet.port <= (high or low)


def _remote(rule: FilterRule, source: str) -> bool:
    listed = MEMBERS if rule.remote_set else rule.remote_ips
    return listed is None or any(
        ip_address(source) in net for net in map(ip_network, listed) if net.version == ip_address(source).version
    )


def random_rule(dice: random.Random) -> FilterRule:
    version = dice.choice([4, 6])
    protocol = dice.choice([None, "tcp", "udp", "gre", "132", "icmp"])
    low, high = sorted(dice.sample(PORTS, 2)) if dice.random() < 0.5 else [dice.choice(PORTS)] * 2
    ports: dict[str, int | None] = {}
    if protocol in ("tcp", "udp", "132") and dice.random() < 0.8:
        ports = {"port_range_min": low, "port_range_max": high}
    if protocol == "icmp" and dice.random() < 0.7:
        echo, stamp = (8, 13) if version == 4 else (128, 140)
        ports = {"port_range_min": dice.choice([echo, stamp]), "port_range_max": dice.choice([None, 0, 1])}
    wide, narrow = ("10.9.0.0/24", "10.9.0.200/32") if version == 4 else ("2001:db8:9::/64", "2001:db8:9::200/128")
    remote = dice.choice(
        [{}, {"remote_set": SET}, {"remote_ips": [wide]}, {"remote_ips": [narrow]}, {"remote_ips": []}]
    )
    return FilterRule.model_validate(
        {"direction": "ingress", "ethertype": f"IPv{version}", "protocol": protocol, **ports, **remote}
    )


def random_packet(dice: random.Random) -> Packet:
    version = dice.choice([4, 6])
    source, name = dice.choice(SOURCES[version]), dice.choice(["tcp", "udp", "gre", "sctp", "icmp"])
    if name == "icmp":
        kind = dice.choice([8, 13] if version == 4 else [128, 140])
        return Packet(version, source, 1 if version == 4 else 58, kind=kind, code=dice.choice([0, 1]))
    return Packet(version, source, NUMBERS[name], port=dice.choice(PORTS))


def frame(packet: Packet, marker: bytes, to: StandIn, sender: StandIn) -> bytes:
    ports = struct.pack("!HH", 40000 + packet.port % 1000, packet.port)
    bodies = {
        6: ports + struct.pack("!IIBBHHH", 1, 0, 0x50, 2, 1000, 0, 0),
        17: ports + struct.pack("!HH", 8 + len(marker), 0),
        132: ports + struct.pack("!II", 0, 0),
        47: struct.pack("!HH", 0, 0x0800),
    }
    body = bodies.get(packet.protocol, struct.pack("!BBHHH", packet.kind, packet.code, 0, 1, 1)) + marker
    family = socket.AF_INET if packet.version == 4 else socket.AF_INET6
    ends = socket.inet_pton(family, packet.source) + socket.inet_pton(family, TARGET[packet.version])
    if packet.version == 6:
        head = struct.pack("!IHBB", 6 << 28, len(body), packet.protocol, 64) + ends
    else:
        head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 1, 0, 64, packet.protocol, 0) + ends
        total = sum(struct.unpack("!10H", head))
        total = (total & 0xFFFF) + (total >> 16)
        head = head[:10] + struct.pack("!H", ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF) + head[12:]
    kind = 0x0800 if packet.version == 4 else 0x86DD
    return ethernet(to.plug.mac_address, sender.plug.mac_address, kind, head + body)


def arrived(receiver: socket.socket, wait: float) -> set[bytes]:
    found, end = set(), time.monotonic() + wait
    while (left := end - time.monotonic()) > 0:
        receiver.settimeout(left)
        try:
            data = receiver.recv(4096)
        except TimeoutError:
            break
        if (at := data.find(b"packet-")) >= 0:
            found.add(data[at : at + 11])
    return found


@pytest.mark.turns
@pytest.mark.parametrize("seed", range(12))
def test_what_arrives_is_what_the_model_says(host: Host, seed: int) -> None:
    dice = random.Random(seed)
    one, two = (host.boot(_dual(host, n)) for n in (11, 12))
    pairs = (AddressPair(ip_address="10.9.0.0/24"), AddressPair(ip_address="2001:db8:9::/64"))
    rules = [random_rule(dice) for _ in range(dice.randrange(1, 7))]
    six = FilterRule(direction="egress", ethertype="IPv6")
    free = filters(one.plug, pairs=pairs)
    limited = filters(two.plug).model_copy(update={"rules": rules})
    host.net.apply_groups([free.model_copy(update={"rules": [*free.rules, six]}), limited], {SET: MEMBERS})
    sender, receiver = one.packets(), two.packets()
    packets = {b"packet-%04d" % n: random_packet(dice) for n in range(40)}
    for marker, packet in packets.items():
        sender.send(frame(packet, marker, two, one))
    expected = {marker for marker, packet in packets.items() if passes(rules, packet)}
    got = arrived(receiver, 0.4)
    assert {packets[m] for m in got ^ expected} == set(), rules


def _dual(host: Host, number: int) -> PortPlug:
    plug = host.port(number)
    fixed = FixedIp(ip_address=f"2001:db8:9::{number}", subnet_id="subnet-six-0", cidr="2001:db8:9::/64")
    return plug.model_copy(update={"fixed_ips": [*plug.fixed_ips, fixed]})
