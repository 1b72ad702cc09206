"""What an audit says about a host whose network is as it was told, and about every way in which it is not."""

from collections.abc import Callable

import pytest

from activities.auditing.network_host import Difference, compare
from infra.hostnet import netns
from infra.hostnet.dhcp import Dnsmasq
from infra.hostnet.models import HostNetInventory
from infra.hostnet.topology import Topology
from tests.hostnet.conftest import Host, StandIn, filters, ip
from tests.hostnet.routed import Lab, external, floating, gateway, network, router

RED = network("red", "10.1.0.0/24", segment=1001, mtu=1450, peers=["10.99.0.2", "10.99.0.3"], serves_dhcp=True)
FLOATING = "203.0.113.20"


class Audited:
    def __init__(self, host: Host) -> None:
        self.host, lab = host, Lab(host)
        host.net.ensure_namespace()
        ip(host.ns, "address", "add", "10.99.0.1/24", "dev", "lo")
        ip(host.ns, "link", "add", "br-provider", "type", "bridge")
        lab.networks(RED, external())
        self.guest: StandIn = lab.guest(RED, 11)
        routed = router("r", RED, outer=gateway(10), floating_ips=[floating(FLOATING, self.guest)])
        host.net.ensure_router(routed)
        self.told = Topology(networks=[RED, external()], ports=[filters(self.guest.plug)], routers=[routed])
        self.router = host.net._store.space_name("router", routed.id)

    def differences(self, told: Topology | None = None) -> list[Difference]:
        return compare(told or self.told, self.host.net.describe(), tunnels=True)


@pytest.fixture
def audited(make_host: Callable[..., Host]) -> Audited:
    return Audited(make_host(tunnel_ip="10.99.0.1", lab_gateway=False))


def test_a_host_that_is_as_it_was_told(audited: Audited) -> None:
    assert audited.differences() == []


def test_what_is_missing_is_named_and_comes_back(audited: Audited) -> None:
    host, red, r = audited.host, f"net/{RED.id}", f"router/{audited.told.routers[0].id}"
    damages: list[tuple[Callable[[], object], Difference]] = [
        (lambda: netns.run(audited.router, ["nft", "flush", "ruleset"]), Difference("rules", r, "missing")),
        (lambda: netns.run(host.space(RED.id), ["nft", "flush", "ruleset"]), Difference("rules", red, "missing")),
        (
            lambda: ip(audited.router, "address", "delete", f"{FLOATING}/32", "dev", _outer(audited)),
            Difference("address", f"{r} {FLOATING}", "missing"),
        ),
        (lambda: Dnsmasq(host.net._store, RED.id).stop(), Difference("dhcp_server", RED.id, "missing")),
        (lambda: ip(host.ns, "link", "delete", "vx1001"), Difference("tunnel", "1001", "missing")),
        (
            lambda: netns.run(host.ns, ["bridge", "fdb", "delete", *FLOOD, "10.99.0.2"]),
            Difference("tunnel_peer", "1001 10.99.0.2", "missing"),
        ),
        (lambda: netns.remove(audited.router), Difference("namespace", r, "missing")),
    ]
    for damage, expected in damages:
        damage()
        assert audited.differences() == [expected]
        host.net.sync()
        assert audited.differences() == []


FLOOD = ["00:00:00:00:00:00", "dev", "vx1001", "dst"]


def _outer(audited: Audited) -> str:
    outer = audited.told.routers[0].gateway
    assert outer
    return f"qg-{outer.port_id[:11]}"


def test_what_is_too_many_is_named(audited: Audited) -> None:
    host, r = audited.host, f"router/{audited.told.routers[0].id}"
    netns.run(host.ns, ["bridge", "fdb", "append", *FLOOD, "10.99.0.77"])
    ip(audited.router, "address", "add", "203.0.113.77/32", "dev", _outer(audited))
    assert audited.differences() == [
        Difference("address", f"{r} 203.0.113.77", "too many"),
        Difference("tunnel_peer", "1001 10.99.0.77", "too many"),
    ]
    host.net.sync()
    assert audited.differences() == []
    nothing = Topology()
    found = {(d.kind, d.problem) for d in audited.differences(nothing)}
    assert found == {(kind, "too many") for kind in ("namespace", "dhcp_server", "tunnel", "port")}
    assert compare(nothing, HostNetInventory(), tunnels=True) == []


def test_what_another_host_serves_is_not_missing_here(audited: Audited) -> None:
    elsewhere = Topology(networks=[RED.model_copy(update={"serves_dhcp": False})])
    assert compare(elsewhere, HostNetInventory(), tunnels=True) == []
