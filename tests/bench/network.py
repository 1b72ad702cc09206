"""What the data plane costs: guest to guest on one host and across two, beside a bare bridge and a bare VXLAN.

`python -m tests.bench.network`, as root. Both sides of a comparison are measured in turns, `BENCH_TURNS` times (9).
Each turn gives a ratio, and the median of these counts: load of other work is about the same in both. Beside it stand
the quartiles: what lies between them is noise. Between namespaces on veth pairs, which cost next to nothing beside the
path, and between real guests (`machines.py`; `BENCH_GUESTS` empty leaves them out), where a packet costs what it costs
a guest."""

import contextlib
import multiprocessing
import os
import resource
import socket
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path

from infra.hostnet import netns
from infra.hostnet.models import FilterRule, FixedIp, PortFilter, PortPlug
from tests.bench import machines, packets
from tests.bench.machines import Image, Machine
from tests.hostnet.conftest import Host, StandIn, filters, ingress, ip
from tests.hostnet.test_vxlan import RED, Fabric

TURNS = int(os.environ.get("BENCH_TURNS", "9"))
SECONDS = float(os.environ.get("BENCH_SECONDS", "1"))
GROUP = "group:5f0c3a6e-5b0e-4b39-9d6e-000000000001"
PORT, TCP, UDP = 5201, socket.SOCK_STREAM, socket.SOCK_DGRAM
Guest = StandIn | Machine
Pair = tuple[Guest, Guest]


def _receive(namespace: str, kind: int, told: "Connection") -> None:
    with netns.entered(namespace):
        server = socket.socket(socket.AF_INET, kind)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    server.bind(("0.0.0.0", PORT))
    if kind == TCP:
        server.listen(1)
    told.send(True)
    opened = server.accept()[0] if kind == TCP else server
    opened.settimeout(0.5)
    total, first, last, buffer = 0, 0.0, 0.0, bytearray(1 << 20)
    with contextlib.suppress(TimeoutError, ConnectionError):
        while got := opened.recv_into(buffer):
            last = time.monotonic()
            first = first or last
            total += got
    told.send(total * 8 / 1e6 / max(last - first, 1e-9))


def _send(namespace: str, kind: int, address: str) -> None:
    with netns.entered(namespace):
        sender = socket.socket(socket.AF_INET, kind)
    sender.connect((address, PORT))
    data = b"x" * ((1 << 18) if kind == TCP else 1400)
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        for _ in range(8):
            with contextlib.suppress(ConnectionRefusedError):
                sender.send(data)


def throughput(source: Guest, target: Guest, kind: int) -> tuple[float, float]:
    """Mbit/s that arrive, and milliseconds of CPU for each Mbit: of both processes, or of both QEMUs."""
    if isinstance(source, Machine) and isinstance(target, Machine):
        return machines.throughput(source, target, kind, SECONDS)
    here, there = multiprocessing.Pipe()
    begun = _children()
    receiver = multiprocessing.Process(target=_receive, args=(target.ns, kind, there))
    receiver.start()
    here.recv()
    sender = multiprocessing.Process(target=_send, args=(source.ns, kind, target.address))
    sender.start()
    sender.join()
    arrived = float(here.recv())
    receiver.join()
    return arrived, (_children() - begun) * 1000 / max(arrived * SECONDS, 1e-9)


def _children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def ruled(*guests: Guest) -> tuple[list[PortFilter], dict[str, list[str]]]:
    """Ten rules for each guest, of which the last that matches names a group of a thousand members."""
    members = [f"172.16.{n // 250}.{n % 250 + 1}/32" for n in range(1000 - len(guests))]
    group = [FilterRule(direction="ingress", protocol=p, remote_set=GROUP) for p in ("tcp", "udp", "icmp")]
    rules = [*(ingress("tcp", 1000 + n) for n in range(7)), *group]
    return [filters(g.plug, *rules) for g in guests], {GROUP: [*members, *(f"{g.address}/32" for g in guests)]}


class Bench:
    """What is made is removed at the end. With an `image`, guests are real ones."""

    def __init__(self, scratch: Path, image: Image | None = None) -> None:
        self.scratch, self.image = scratch, image
        self._hosts, self._bare, self.guests = list[Host](), list[str](), list[Guest]()

    def make_host(self, **options: object) -> Host:
        self._hosts.append(Host(self.scratch / uuid.uuid4().hex[:6], **options))
        return self._hosts[-1]

    def namespace(self) -> str:
        name = f"kb{uuid.uuid4().hex[:8]}"
        netns.create(name)
        self._bare.append(name)
        netns.sysctl(name, {"bridge/bridge-nf-call-iptables": "0", "bridge/bridge-nf-call-ip6tables": "0"})
        ip(name, "link", "add", "br0", "type", "bridge", "mcast_snooping", "0")
        ip(name, "link", "set", "br0", "up")
        return name

    def guest(self, namespace: str, plug: PortPlug, bridge: str, mtu: int) -> Guest:
        if self.image:
            self.guests.append(Machine(self.image, namespace, plug, bridge, mtu))
            return self.guests[-1]
        made = StandIn(namespace, plug, bridge)
        self.guests.append(made)
        made.configure()
        ip(made.ns, "link", "set", "eth0", "mtu", str(mtu))
        return made

    def plugged(self, host: Host, plug: PortPlug, mtu: int) -> Guest:
        host.net.plug(plug)
        return self.guest(host.ns, plug, f"br-{plug.network_id[:11]}", mtu)

    def close(self) -> None:
        for guest in self.guests:
            guest.close()
        for host in self._hosts:
            host.close()
        for name in self._bare:
            netns.remove(name)


def one_host(bench: Bench) -> tuple[Pair, Pair]:
    host, bare = bench.make_host(), bench.namespace()
    ours = bench.plugged(host, host.port(11), 1500), bench.plugged(host, host.port(12), 1500)
    host.net.apply_groups(*ruled(*ours))
    host.net.sync()
    theirs = [bench.guest(bare, host.port(n), "br0", 1500) for n in (21, 22)]
    return ours, (theirs[0], theirs[1])


def two_hosts(bench: Bench) -> tuple[Pair, Pair]:
    fabric = Fabric(bench.make_host, bench.scratch / uuid.uuid4().hex[:6])
    bench._bare.append(fabric.ns)
    hosts = [lab.host for lab in fabric.hosts(2)]
    fabric.tell(RED, 1, 2)
    plugs = [_red(host, n) for n, host in enumerate(hosts, 11)]
    ours = [bench.plugged(host, plug, 1450) for host, plug in zip(hosts, plugs, strict=True)]
    for host in hosts:
        host.net.apply_groups(*ruled(*ours))
        host.net.sync()
    bare = [_bare_tunnel(bench, fabric, n, 6 - n, hosts[0]) for n in (2, 4)]
    return (ours[0], ours[1]), (bare[0], bare[1])


def _red(host: Host, number: int) -> PortPlug:
    fixed = FixedIp(ip_address=f"10.1.0.{number}", subnet_id=RED.subnets[0].id, cidr="10.1.0.0/24")
    return host.port(number, network_id=RED.id, fixed_ips=[fixed], mtu=1450)


def _bare_tunnel(bench: Bench, fabric: Fabric, me: int, peer: int, host: Host) -> Guest:
    name = bench.namespace()
    ip(name, "link", "add", "und0", "type", "veth", "peer", "name", f"b{me}", "netns", fabric.ns)
    ip(name, "address", "add", f"10.99.0.{100 + me}/24", "dev", "und0")
    ip(name, "link", "set", "und0", "up")
    ip(fabric.ns, "link", "set", f"b{me}", "master", "switch", "up")
    how = ["type", "vxlan", "id", "7", "local", f"10.99.0.{100 + me}", "dstport", "4789"]
    ip(name, "link", "add", "vx0", "mtu", "1450", *how)
    ip(name, "link", "set", "vx0", "master", "br0", "up")
    netns.run(name, ["bridge", "fdb", "append", "00:00:00:00:00:00", "dev", "vx0", "dst", f"10.99.0.{100 + peer}"])
    return bench.guest(name, host.port(30 + me), "br0", 1450)


def compare(what: str, kind: int, ours: Pair, bare: Pair) -> None:
    results: dict[str, list[tuple[float, float]]] = {"ours": [], "bare": []}
    throughput(*ours, kind)  # addresses and learning
    throughput(*bare, kind)
    for turn in range(TURNS):
        for name, pair in (("ours", ours), ("bare", bare))[:: 1 if turn % 2 else -1]:
            results[name].append(throughput(*pair, kind))
    (mine, spent), (floor, least) = ([statistics.median(v) for v in zip(*results[n], strict=True)] for n in results)
    turns = list(zip(*results.values(), strict=True))
    ratio, cheaper = ([o[0] / b[0] for o, b in turns], [b[1] / o[1] for o, b in turns])
    print(f"| {what} | {mine:,.0f} Mbit/s | {floor:,.0f} Mbit/s | {packets.spread(ratio)} |", flush=True)
    print(f"| its CPU for each Mbit | {spent:.3f} ms | {least:.3f} ms | {packets.spread(cheaper)} |", flush=True)


@contextlib.contextmanager
def cpu(into: list[float]) -> Iterator[None]:
    def spent() -> float:
        usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return sum(one.ru_utime + one.ru_stime for one in usage)

    before = spent()
    yield
    into.append((spent() - before) * 1000)


def hundred_ports(bench: Bench) -> None:
    """CPU of a plug, and what a change of rules and of a group's members takes, at 100 ports."""
    host = bench.make_host()
    plugs = [host.port(n, mac_address=f"fa:16:3e:00:01:{n:02x}") for n in range(2, 102)]
    spent: list[float] = []
    for plug in plugs:
        with cpu(spent):
            host.net.plug(plug)
    first, last = statistics.median(spent[:20]), statistics.median(spent[80:])
    print(f"| CPU of a plug: ports 1 to 20, 81 to 100 | {first:.0f} ms, {last:.0f} ms | | |")
    ports, sets = ruled(*(_Plugged(plug) for plug in plugs))  # type: ignore[arg-type]
    host.net.apply_groups(ports, sets)

    def took(change: Callable[[int], object]) -> float:
        times = []
        for turn in range(TURNS):
            begun = time.monotonic()
            change(turn)
            times.append((time.monotonic() - begun) * 1000)
        return statistics.median(times)

    opened = [ports[0].model_copy(update={"rules": [*ports[0].rules, ingress("tcp", 2000 + n)]}) for n in range(TURNS)]
    rule = took(lambda n: host.net.apply_groups([opened[n], *ports[1:]], sets))
    member = took(lambda n: host.net.apply_groups(ports, {GROUP: [*sets[GROUP], f"192.0.2.{n + 1}/32"]}))
    print(f"| 100 ports of 10 rules, 1,000 members: a rule, a member changed | {rule:.0f} ms, {member:.0f} ms | | |")


class _Plugged:
    """A port without a guest behind it."""

    def __init__(self, plug: object) -> None:
        self.plug = plug
        self.address = plug.fixed_ips[0].ip_address  # type: ignore[attr-defined]


def measure(bench: Bench, who: str) -> None:
    for where, build in (("one host", one_host), ("two hosts", two_hosts)):
        ours, bare = build(bench)
        for name, kind in (("TCP", TCP), ("UDP", UDP)):
            compare(f"{where}, {name}, {who}", kind, ours, bare)
        if isinstance(ours[0], StandIn):
            pairs = ours, bare
            packets.compare(f"{where}, CPU of a UDP packet, {who}", packets.Packets, *pairs, 4 * TURNS)  # type: ignore[arg-type]
            packets.compare(f"{where}, CPU of 64 KiB of TCP, {who}", packets.Streams, *pairs, 4 * TURNS)  # type: ignore[arg-type]


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="kilonova-bench-") as scratch, contextlib.ExitStack() as undo:
        print(f"load average {os.getloadavg()[0]:.1f}\n\n| what | ours | bare | ratio |\n|---|---|---|---|")
        bench = Bench(Path(scratch))
        undo.callback(bench.close)
        hundred_ports(bench)
        measure(bench, "namespaces")
        if os.environ.get("BENCH_GUESTS", "yes"):
            real = Bench(Path(scratch), machines.build(Path(scratch)))
            undo.callback(real.close)
            measure(real, "guests of QEMU")
        print(f"\nload average {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
