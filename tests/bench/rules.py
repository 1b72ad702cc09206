"""From a rule's POST to the first packet that passes, and from its DELETE to the last, on a host with 100 ports.

`python -m tests.bench.rules`, as root: Keystone, the network service, and a host that polls and repairs as its worker
does. Each port has ten rules, which name a group of the other ports."""

import os
import statistics
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from infra.host.network.topology import TopologyPoll
from infra.hostnet.models import FixedIp, PortPlug
from tests.host.cloud import HOST, Cloud
from tests.host.place import Place
from tests.hostnet.conftest import TIMEOUT_S, StandIn, reaches, tcp_open
from tests.openstack import OpenStack
from workers.host_loops import SYNC_S, TOPOLOGY_S, TOPOLOGY_WAIT_S

TURNS, PORTS, RULES = int(os.environ.get("BENCH_TURNS", "20")), 100, 10
FIRST = 3000
PROBE_S = 0.05
"""How long a packet is waited for that a rule should let through; for the last one before it goes, `TIMEOUT_S`."""


@contextmanager
def place() -> Iterator[Place]:
    with tempfile.TemporaryDirectory(prefix="kilonova-bench-") as scratch:
        keystone = OpenStack(Path(scratch) / "openstack")
        keystone.start("identity")
        cloud = Cloud(keystone, Path(scratch) / "cloud")
        try:
            cloud.start()
            own = {"netns": f"kb-{uuid.uuid4().hex[:8]}", "host_networking": "kilonova", "virt_type": "test"}
            with cloud.user("admin") as admin, cloud.user("demo") as tenant:
                found = Place(cloud, cloud.settings.model_copy(update=own), admin, tenant)
                found.plane.ensure_namespace()
                try:
                    yield found
                finally:
                    found.close()
        finally:
            cloud.close()
            keystone.stop()


def fill(here: Place, network: dict[str, Any], count: int) -> None:
    """Ports of this host without a guest behind them."""
    body = {"network_id": network["id"], "binding:host_id": HOST, "device_owner": "compute:nova"}
    wanted = [body | {"device_id": str(uuid.uuid4())} for _ in range(count)]
    for port in here.admin.call("network", "POST", "/v2.0/ports", {"ports": wanted})["ports"]:
        fixed = [FixedIp(**one, cidr="10.6.0.0/24", gateway_ip="10.6.0.1") for one in port["fixed_ips"]]
        more = {"port_id": port["id"], "instance_id": port["device_id"], "fixed_ips": fixed}
        here.plane.plug(PortPlug(network_id=network["id"], mac_address=port["mac_address"], **more))


@contextmanager
def working(here: Place) -> Iterator[None]:
    """The host's loops, at their pace."""
    done = threading.Event()

    def turn(every: float, work: Callable[[], object]) -> None:
        while not done.wait(every):
            work()

    poll = TopologyPoll(here.settings, here.cloud.session, here.plane, here.states, TOPOLOGY_WAIT_S)
    loops = [(TOPOLOGY_S, poll), (SYNC_S, here.plane.sync)]
    threads = [threading.Thread(target=turn, args=loop) for loop in loops]
    for each in threads:
        each.start()
    try:
        yield
    finally:
        done.set()
        for each in threads:
            each.join()


def until(condition: Callable[[], bool]) -> float:
    """Seconds until it holds."""
    begun = time.monotonic()
    while not condition():
        assert time.monotonic() - begun < 30
        time.sleep(0.01)
    return time.monotonic() - begun


def main() -> None:
    with place() as here:
        here.poll()
        network = here.make("network", name="inner")
        here.make("subnet", network_id=network["id"], cidr="10.6.0.0/24", ip_version=4)
        guest = here.guest(network, *range(FIRST, FIRST + TURNS))
        port = here.tenant.call("network", "GET", f"/v2.0/ports/{guest.plug.port_id}")["port"]
        for number in range(RULES - 4):
            here.allow(guest, protocol="tcp", port_range_min=100 + number, port_range_max=100 + number)
        fill(here, network, PORTS - 1)
        outside = here.plane._store.space_name("net", network["id"])
        here.poll()
        opened, closed = [], []
        with working(here):
            for number in range(FIRST, FIRST + TURNS):
                opened.append(_opens(here, guest, port, outside, number))
                closed.append(_closes(here, guest, outside, number))
        print(f"load average {os.getloadavg()[0]:.1f}, {PORTS} ports\n\n| what | median | longest |\n|---|---|---|")
        for what, seconds in (("POST of a rule to the first packet", opened), ("DELETE to the last", closed)):
            print(f"| {what} | {statistics.median(seconds):.2f} s | {max(seconds):.2f} s |")


def _opens(here: Place, guest: StandIn, port: dict[str, Any], outside: str, number: int) -> float:
    body = {"security_group_id": port["security_groups"][0], "direction": "ingress", "protocol": "tcp"}
    here.make("security_group_rule", port_range_min=number, port_range_max=number, **body)
    return until(lambda: _passes(outside, guest, number))


def _passes(outside: str, guest: StandIn, number: int) -> bool:
    connection = tcp_open(outside, guest.address, number, PROBE_S)
    if connection:
        connection.close()
    return connection is not None


def _closes(here: Place, guest: StandIn, outside: str, number: int) -> float:
    path, rule = here._made.pop()
    here.tenant.call("network", "DELETE", f"/v2.0/{path}/{rule}")
    return until(lambda: not reaches(outside, guest.address, number)) - TIMEOUT_S  # of the attempt that failed


if __name__ == "__main__":
    main()
