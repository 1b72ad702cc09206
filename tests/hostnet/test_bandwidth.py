"""Limits that limit: what a guest sends and receives a second, measured."""

import contextlib
import socket
import threading
import time

import pytest

from infra.hostnet import netns, shaping
from infra.hostnet.models import Bandwidth, PortFilter
from tests.hostnet.conftest import Host, StandIn, filters, ingress, tcp_open

SECONDS = 2.0


def rate(source: StandIn, target: StandIn, port: int = 80) -> float:
    """kbit/s that arrive over TCP, the burst at the start left out."""
    connection = tcp_open(source.ns, target.address, port, 2)
    assert connection
    accepted, _ = target._sockets[0].accept()
    stop = threading.Event()

    def send() -> None:
        with contextlib.suppress(OSError):
            while not stop.is_set():
                connection.sendall(b"x" * 20_000)

    sender = threading.Thread(target=send)
    sender.start()
    arrived, begun = 0, time.monotonic() + 0.7
    accepted.settimeout(2)
    with connection, accepted:
        while (now := time.monotonic()) < begun + SECONDS:
            got = len(accepted.recv(65536))
            arrived += got if now > begun else 0
        stop.set()
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
    sender.join()
    return arrived * 8 / 1000 / SECONDS


def reaches(low: float, source: StandIn, target: StandIn, high: float = float("inf")) -> bool:
    """More than `low` kbit/s arrive in one of six looks, which a busy machine may need, and in none `high`."""
    for _ in range(6):
        found = rate(source, target)
        assert found < high
        if found > low:
            return True
    return False


def limited(guest: StandIn, **limits: int) -> PortFilter:
    return filters(guest.plug, ingress(None)).model_copy(update={"qos": Bandwidth(**limits)})


@pytest.mark.parametrize("direction", ["egress", "ingress"])
def test_a_limit_holds_is_changed_and_is_lifted(host: Host, direction: str) -> None:
    one, two = host.boot(host.port(11)), host.boot(host.port(12))
    for guest in (one, two):
        guest.listen(80)
    free = [filters(g.plug, ingress(None)) for g in (one, two)]
    source, target = (one, two) if direction == "egress" else (two, one)
    for kbps in (4000, 16000):
        host.net.apply_groups([limited(one, **{f"{direction}_kbps": kbps}), free[1]], {})
        host.net.sync()
        assert reaches(0.5 * kbps, source, target, 1.15 * kbps)
        assert reaches(3 * kbps, target, source), "the other direction is free"
    host.net.apply_groups(free, {})
    assert reaches(60_000, source, target)
    assert shaping.present(host.ns) == {}


def test_a_shape_that_somebody_removed_comes_back(host: Host) -> None:
    one = host.boot(host.port(11))
    host.net.apply_groups([limited(one, ingress_kbps=4000)], {})
    tap = one.plug.tap
    assert shaping.present(host.ns)[tap][0] == 500_000
    netns.run(host.ns, ["tc", "qdisc", "delete", "dev", tap, "root"])
    host.net.sync()
    assert shaping.present(host.ns)[tap][0] == 500_000


def test_a_flavor_limits_all_interfaces_beside_the_ports_own_limit(host: Host) -> None:
    """Mechanism: `HostNetwork.limit` writes what the flavor allows into the port files; the lower limit holds."""
    one, two = host.boot(host.port(11)), host.boot(host.port(12))
    for guest in (one, two):
        guest.listen(80)
    host.net.apply_groups([limited(one, ingress_kbps=80000), filters(two.plug, ingress(None))], {})
    tap, owner = one.plug.tap, one.plug.instance_id
    host.net.limit(owner, Bandwidth(egress_kbps=4000, ingress_kbps=8000, ingress_peak_kbps=16000))
    assert reaches(2000, one, two, 4600)
    assert (shaping.present(host.ns)[tap][0], shaping.present(host.ns)[tap][2]) == (1_000_000, 4048)
    assert "peakrate 16Mbit" in netns.run(host.ns, ["tc", "qdisc", "show", "dev", tap])
    host.net.plug(one.plug)  # a step that runs again knows no flavor
    host.net.sync()
    assert shaping.present(host.ns)[tap][0] == 1_000_000
    host.net.limit(owner, None)
    assert shaping.present(host.ns)[tap][0] == 10_000_000 and host.net.sync() == []


def test_a_burst_has_a_speed_of_its_own(host: Host) -> None:
    one = host.boot(host.port(11))
    host.net.limit(one.plug.instance_id, Bandwidth(egress_kbps=8, egress_burst_kbits=80000, egress_peak_kbps=4000))
    for guest in (one, two := host.boot(host.port(12))):
        guest.listen(80)
    host.net.apply_groups([filters(g.plug, ingress(None)) for g in (one, two)], {})
    assert reaches(2000, one, two, 4600)
