"""Routers, floating addresses and forwardings with real packets between guests and a machine outside."""

import contextlib
import socket

import pytest

from infra.hostnet import links, netns
from infra.hostnet.models import HostNetInventory
from infra.hostnet.netns import HostNetworkError
from infra.hostnet.network import HostNetwork
from tests.hostnet.conftest import Host, StandIn, ip, pings, reaches, tcp_open
from tests.hostnet.routed import OUTSIDE, Lab, external, floating, forwarding, gateway, network, route, router

GATEWAY, FLOATING, OTHER = "203.0.113.10", "203.0.113.20", "203.0.113.21"
RED, BLUE = network("red", "10.1.0.0/24"), network("blue", "10.2.0.0/24")


@pytest.fixture
def lab(host: Host) -> Lab:
    lab = Lab(host)
    lab.networks(RED, BLUE, external())
    return lab


def caller(server: StandIn, client: str, address: str, port: int) -> str:
    """Who the server sees when `client` calls `address`; '' when it cannot."""
    listening = next(s for s in server._sockets if s.family == socket.AF_INET and s.getsockname()[1] == port)
    listening.settimeout(0)
    with contextlib.suppress(BlockingIOError):
        while True:  # those who called before
            listening.accept()[0].close()
    connection = tcp_open(client, address, port)
    if not connection:
        return ""
    listening.settimeout(1)
    with connection:
        accepted, (peer, _) = listening.accept()
        accepted.close()
        return str(peer)


def test_two_networks_reach_each_other_by_their_router_and_not_without(lab: Lab) -> None:
    one, two = lab.guest(RED, 11, 80), lab.guest(BLUE, 11, 80)
    assert not reaches(one.ns, two.address, 80)
    lab.host.net.ensure_router(router("r", RED, BLUE))
    assert reaches(one.ns, two.address, 80) and reaches(two.ns, one.address, 80)
    assert pings(one.ns, "10.1.0.1", 5) and caller(two, one.ns, two.address, 80) == one.address
    lab.host.net.ensure_router(router("r", RED))
    assert not reaches(one.ns, two.address, 80)
    lab.host.net.ensure_router(router("r", RED, BLUE, admin_state_up=False))
    assert not reaches(one.ns, two.address, 80) and not pings(one.ns, "10.1.0.1")


def test_the_way_out_hides_guests_behind_the_gateways_address(lab: Lab) -> None:
    guest = lab.guest(RED, 11, 22)
    plain = router("r", RED, outer=gateway(10, snat=False))
    lab.host.net.ensure_router(plain)
    outside = lab.outside(443)
    assert not reaches(guest.ns, OUTSIDE, 443), "no route back"
    ip(outside.ns, "route", "add", "10.1.0.0/24", "via", GATEWAY)
    assert caller(outside, guest.ns, OUTSIDE, 443) == guest.address
    assert reaches(outside.ns, guest.address, 22), "a router that hides nothing is a way in"
    lab.host.net.ensure_router(router("r", RED, outer=gateway(10)))
    assert caller(outside, guest.ns, OUTSIDE, 443) == GATEWAY
    assert not reaches(outside.ns, guest.address, 22)


def test_a_floating_address_leads_in_and_out_and_round(lab: Lab) -> None:
    one, two, three = lab.guest(RED, 11, 22), lab.guest(RED, 12), lab.guest(BLUE, 11)
    lab.host.net.ensure_router(router("r", RED, BLUE, outer=gateway(10)))
    outside = lab.outside(443)
    assert not reaches(outside.ns, FLOATING, 22)
    lab.host.net.ensure_floating(router("r").id, [floating(FLOATING, one)], [])
    assert caller(one, outside.ns, FLOATING, 22) == OUTSIDE
    assert pings(outside.ns, FLOATING, 5)
    assert caller(outside, one.ns, OUTSIDE, 443) == FLOATING
    assert caller(outside, two.ns, OUTSIDE, 443) == GATEWAY
    assert caller(one, two.ns, FLOATING, 22) == GATEWAY, "a neighbour that calls it by its floating address"
    assert caller(one, three.ns, FLOATING, 22) == GATEWAY
    assert reaches(one.ns, FLOATING, 22), "itself"
    assert lab.host.net.report().floating_ips == {floating(FLOATING, one).id: "ACTIVE"}
    assert lab.host.net.report().routers == {router("r").id: "ACTIVE"}
    own = floating(OTHER, one).model_copy(update={"fixed_ip_address": "10.1.0.1"})
    assert not pings(outside.ns, OTHER)
    lab.host.net.ensure_floating(router("r").id, [floating(FLOATING, one), own], [])
    assert pings(outside.ns, OTHER, 5) and reaches(outside.ns, FLOATING, 22), "the router's own address has one"


def test_an_address_that_moves_takes_its_connections_down(lab: Lab) -> None:
    one, two = lab.guest(RED, 11, 22), lab.guest(RED, 12, 22)
    lab.host.net.ensure_router(router("r", RED, outer=gateway(10), floating_ips=[floating(FLOATING, one)]))
    outside = lab.outside()
    connection = tcp_open(outside.ns, FLOATING, 22)
    assert connection
    listening = one._sockets[0]
    accepted, _ = listening.accept()
    with connection, accepted:
        connection.sendall(b"before")
        assert accepted.recv(10) == b"before"
        lab.host.net.ensure_floating(router("r").id, [floating(FLOATING, two)], [])
        connection.sendall(b"after")
        accepted.settimeout(0.4)
        with pytest.raises((TimeoutError, ConnectionError)):
            accepted.recv(10)
    assert caller(two, outside.ns, FLOATING, 22) == OUTSIDE
    lab.host.net.ensure_floating(router("r").id, [], [])
    assert not reaches(outside.ns, FLOATING, 22)


def test_ports_are_forwarded_singly_and_by_range(lab: Lab) -> None:
    one, two = lab.guest(RED, 11, 22, 9000, 9001), lab.guest(RED, 12, 22)
    lab.host.net.ensure_router(router("r", RED, outer=gateway(10)))
    outside = lab.outside()
    several = forwarding(FLOATING, 0, one, 0).model_copy(
        update={"external_port": None, "external_port_range": "7000:7001", "internal_port_range": "9000:9001"}
    )
    to_one = forwarding(FLOATING, 0, one, 9000).model_copy(
        update={"external_port": None, "external_port_range": "7100:7101"}
    )
    forwardings = [forwarding(FLOATING, 2201, one, 22), forwarding(FLOATING, 2202, two, 22), several, to_one]
    lab.host.net.ensure_floating(router("r").id, [], forwardings)
    for port in (2201, 2202, 7000, 7001, 7100, 7101):
        assert reaches(outside.ns, FLOATING, port), port
    assert not reaches(outside.ns, FLOATING, 22)
    assert reaches(two.ns, FLOATING, 2201), "from inside"
    lab.host.net.ensure_floating(router("r").id, [], forwardings[1:])
    assert not reaches(outside.ns, FLOATING, 2201) and reaches(outside.ns, FLOATING, 2202)


def test_extra_routes_come_and_go(lab: Lab) -> None:
    one, hop = lab.guest(RED, 11), lab.guest(BLUE, 11)
    ip(hop.ns, "address", "add", "192.0.2.7/32", "dev", "lo")
    wanted = router("r", RED, BLUE, routes=[route("192.0.2.0/24", hop.address)])
    lab.host.net.apply_groups([], {})
    loose = [g.plug.model_copy(update={"port_security_enabled": False}) for g in (one, hop)]
    for plug in loose:
        lab.host.net.plug(plug)
    lab.host.net.ensure_router(router("r", RED, BLUE))
    assert not pings(one.ns, "192.0.2.7")
    lab.host.net.ensure_router(wanted)
    assert pings(one.ns, "192.0.2.7", 5)
    lab.host.net.ensure_router(router("r", RED, BLUE, routes=[route("192.0.2.0/24", "198.51.100.1")]))
    assert not pings(one.ns, "192.0.2.7"), "a next hop that the router has no network of"


def test_connections_outlive_every_process_and_every_change_beside_them(lab: Lab) -> None:
    one, two = lab.guest(RED, 11, 22), lab.guest(RED, 12, 22)
    routed = router("r", RED, outer=gateway(10), floating_ips=[floating(FLOATING, one)])
    lab.host.net.ensure_router(routed)
    outside = lab.outside()
    connection = tcp_open(outside.ns, FLOATING, 22)
    assert connection
    accepted, _ = one._sockets[0].accept()
    anew = HostNetwork(lab.host.settings)
    assert anew.sync() == []
    anew.ensure_router(routed)
    anew.ensure_floating(routed.id, [floating(FLOATING, one), floating(OTHER, two)], [forwarding(GATEWAY, 80, two, 22)])
    anew.ensure_router(router("r", RED, BLUE, outer=gateway(10), floating_ips=[floating(FLOATING, one)]))
    with connection, accepted:
        connection.sendall(b"still here")
        accepted.settimeout(1)
        assert accepted.recv(20) == b"still here"


def test_two_tenants_with_the_same_subnet_each_behind_a_router(lab: Lab) -> None:
    twin = network("red twin", "10.1.0.0/24")
    lab.networks(twin)
    one, two = lab.guest(RED, 11, 80), lab.guest(twin, 11, 81)
    lab.host.net.ensure_router(router("r", RED, outer=gateway(10), floating_ips=[floating(FLOATING, one)]))
    lab.host.net.ensure_router(router("s", twin, outer=gateway(11, "s"), floating_ips=[floating(OTHER, two)]))
    outside = lab.outside()
    assert reaches(outside.ns, FLOATING, 80) and not reaches(outside.ns, FLOATING, 81)
    assert reaches(outside.ns, OTHER, 81) and not reaches(outside.ns, OTHER, 80)
    assert caller(two, one.ns, OTHER, 81) == FLOATING
    lab.host.net.ensure_router(
        router(
            "r",
            RED,
            outer=gateway(10),
            routes=[route("10.1.0.11/32", "203.0.113.11")],
            floating_ips=[floating(FLOATING, one)],
        )
    )
    assert not reaches(one.ns, "10.1.0.11", 81), "a route to the other tenant's router is no way in"


def test_a_link_that_goes_by_itself_while_it_is_to_be_deleted_is_gone(lab: Lab) -> None:
    """The kernel takes a veth away some time after the namespace of its other end: after a look saw it, or before."""
    lab.guest(RED, 11, 80)
    gone = f"{links.DELETE}gone"
    links.apply(lab.host.ns, [gone, "link add name one type bridge", gone, "link add name two type bridge", gone])
    assert {"one", "two"} <= links.snapshot(lab.host.ns).keys()
    for failing in ("link set dev gone up", "link add name one type bridge", f"{links.DELETE}lo"):
        with pytest.raises(HostNetworkError):
            links.apply(lab.host.ns, [failing, f"{links.DELETE}one"])
    links.apply(lab.host.ns, [f"{links.DELETE}one", f"{links.DELETE}two"])
    assert links.snapshot(lab.host.ns).keys().isdisjoint({"one", "two"})


def test_what_is_damaged_comes_back_and_what_is_gone_leaves_nothing(lab: Lab) -> None:
    one, two = lab.guest(RED, 11, 80), lab.guest(BLUE, 11, 80)
    wanted = router("r", RED, BLUE)
    lab.host.net.ensure_router(wanted)
    space = lab.host.net._store.space_name("router", wanted.id)
    assert lab.host.net.sync() == []
    damages = [
        ["nft", "flush", "ruleset"],
        ["ip", "link", "delete", f"qr-{wanted.interfaces[0].port_id[:11]}"],
        ["ip", "address", "flush", "dev", f"qr-{wanted.interfaces[1].port_id[:11]}"],
    ]
    for damage in damages:
        netns.run(space, damage)
        assert f"router {wanted.id}" in lab.host.net.sync()
        assert reaches(one.ns, two.address, 80)
    netns.remove(space)
    assert lab.host.net.report().routers == {wanted.id: "ERROR"}
    assert f"router {wanted.id}" in lab.host.net.sync() and reaches(one.ns, two.address, 80)
    lab.host.net.keep_only([], [])
    for guest in lab.guests:
        lab.host.net.unplug(guest.plug.port_id)
    assert lab.host.net.describe() == HostNetInventory(gateways=True)
    assert links.snapshot(lab.host.ns).keys() == {"lo"}
