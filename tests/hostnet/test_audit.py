"""What an audit says about a host whose network is as it was told, and about every way in which it is not."""

import time
from collections.abc import Callable

import pytest

from activities.auditing import network_host
from infra.contracts.audit import World
from infra.contracts.hypervisor import HostFacts
from infra.hostnet import dhcp, netns
from infra.hostnet.dhcp import Dnsmasq
from infra.hostnet.models import HostNetInventory
from infra.hostnet.network import HostNetwork
from infra.hostnet.topology import Router, RouterAddress, Subnet, Topology
from tests.hostnet.conftest import Host, StandIn, filters, ingress, ip
from tests.hostnet.routed import Lab, external, floating, forwarding, gateway, identity, network, router

FLOATING, FORWARDED = "203.0.113.20", "203.0.113.21"
SIX = Subnet(
    id=identity("subnet red six"),
    cidr="fd00:1::/64",
    gateway_ip="fd00:1::1",
    ipv6_ra_mode="slaac",
    ipv6_address_mode="slaac",
)
FOUR = network("red", "10.1.0.0/24", segment=1001, mtu=1450, peers=["10.99.0.2", "10.99.0.3"], serves_dhcp=True)
RED = FOUR.model_copy(update={"subnets": [*FOUR.subnets, SIX]})
LEARNT = "52:54:00:00:00:02"
FLOOD = ["00:00:00:00:00:00", "dev", "vx1001", "dst"]
Found = tuple[str, str, str]
"""Kind, what, problem."""


def differences(told: Topology, found: HostNetInventory) -> list[Found]:
    world = World(hosts={"h": HostFacts(host="h", plugs=True, network=found)}, told={"h": told})
    findings = [finding for rule in network_host.RULES.values() for finding in rule(world)]
    assert all(finding.proof and finding.host == "h" for finding in findings)
    return sorted((f.kind, f.what, f.problem) for f in findings)


def _with_six(routed: Router) -> Router:
    """The same, which has the IPv6 subnet's gateway address, too, and advertises it."""
    (inner,) = routed.interfaces
    fixed = [*inner.fixed_ips, RouterAddress(ip_address="fd00:1::1", subnet_id=SIX.id, prefixlen=64)]
    return routed.model_copy(update={"interfaces": [inner.model_copy(update={"fixed_ips": fixed})]})


class Audited:
    def __init__(self, host: Host) -> None:
        self.host, self.lab = host, Lab(host)
        host.net.ensure_namespace()
        ip(host.ns, "address", "add", "10.99.0.1/24", "dev", "lo")
        ip(host.ns, "link", "add", "br-provider", "type", "bridge")
        self.lab.networks(RED, external())
        self.guest: StandIn = self.lab.guest(RED, 11)
        known = filters(self.guest.plug, ingress(None))
        host.net.apply_groups([known], {})
        addresses = {"floating_ips": [floating(FLOATING, self.guest)]}
        forwarded = {"port_forwardings": [forwarding(FORWARDED, 2222, self.guest, 22)]}
        self.routed = _with_six(router("r", RED, outer=gateway(10), **addresses, **forwarded))
        host.net.ensure_router(self.routed)
        host.net.sync()
        self.told = Topology(networks=[RED, external()], ports=[known], routers=[self.routed])
        self.router = host.net._store.space_name("router", self.routed.id)

    def differences(self, told: Topology | None = None) -> list[Found]:
        return differences(told or self.told, self.host.net.describe())

    def nft(self, space: str, command: str) -> None:
        netns.run(space, ["nft", "-f", "-"], command)


@pytest.fixture
def audited(make_host: Callable[..., Host]) -> Audited:
    return Audited(make_host(tunnel_ip="10.99.0.1", lab_gateway=False))


def _outer(audited: Audited) -> str:
    assert audited.routed.gateway
    return f"qg-{audited.routed.gateway.port_id[:11]}"


def test_what_is_missing_is_named_and_comes_back(audited: Audited) -> None:
    """Mechanism: `network_host` names it, `HostNetwork.sync` mends it; neither knows how the other looks."""
    host, red, r = audited.host, f"net/{RED.id}", f"router/{audited.routed.id}"
    own, home, outer = f"kilonova_{host.net._store.tag}", host.space(RED.id), _outer(audited)
    tap = audited.guest.plug.tap
    assert audited.differences() == []
    damages: list[tuple[Callable[[], object], Found]] = [
        (lambda: audited.nft(audited.router, "flush ruleset"), ("rules", f"{r} table inet", "missing")),
        (lambda: audited.nft(home, "flush ruleset"), ("rules", f"{red} table inet", "missing")),
        (
            lambda: audited.nft(audited.router, f"delete element inet kilonova floating {{ {FLOATING} }}"),
            ("rules", f'{r} table inet map floating: ["{FLOATING}", "10.1.0.11"]', "missing"),
        ),
        (
            lambda: audited.nft(host.ns, f'delete element bridge {own} taps {{ "{tap}" }}'),
            ("rules", f"host table bridge set taps: {tap}", "missing"),
        ),
        (
            lambda: ip(audited.router, "address", "delete", f"{FLOATING}/32", "dev", outer),
            ("router_address", f"{r} {FLOATING}", "missing"),
        ),
        (
            lambda: ip(audited.router, "route", "delete", "default"),
            ("router_route", f"{r} default via 203.0.113.1 dev {outer}", "missing"),
        ),
        (
            lambda: ip(home, "address", "delete", "169.254.169.254/32", "dev", "net0"),
            ("network_address", f"{red} 169.254.169.254", "missing"),
        ),
        (
            lambda: ip(home, "route", "delete", "10.1.0.0/24"),
            ("network_route", f"{red} 10.1.0.0/24 dev net0 src 169.254.169.254", "missing"),
        ),
        (lambda: Dnsmasq(host.net._store, RED.id).stop(), ("dhcp_server", red, "missing")),
        (lambda: Dnsmasq(host.net._store, audited.routed.id, "ra").stop(), ("dhcp_server", r, "missing")),
        (lambda: ip(host.ns, "link", "delete", "vx1001"), ("tunnel", "vxlan/1001", "missing")),
        (
            lambda: netns.run(host.ns, ["bridge", "fdb", "delete", *FLOOD, "10.99.0.2"]),
            ("tunnel_peer", "vxlan/1001 10.99.0.2", "missing"),
        ),
        (lambda: netns.remove(audited.router), ("namespace", r, "missing")),
        (lambda: netns.remove(home), ("namespace", red, "missing")),
    ]
    for damage, expected in damages:
        damage()
        assert expected in (found := audited.differences()), found
        with_others = expected[0] in ("namespace", "network_address")
        assert len(found) == 1 or with_others, "a DHCP server goes with its namespace, a route with its source"
        host.net.sync()
        assert audited.differences() == [], expected


def test_what_is_too_many_is_named_and_goes_away(audited: Audited) -> None:
    host, r, stray = audited.host, f"router/{audited.routed.id}", "stray-0000-4000-8000-000000000000"
    store, own = host.net._store, f"kilonova_{host.net._store.tag}"
    lost = store.space_name("router", stray)

    def serve() -> None:
        netns.create(lost)
        folder = store.run / "dhcp" / stray
        folder.mkdir(parents=True)
        (folder / "dnsmasq.conf").write_text(f"port=0\npid-file={folder}/pid\n")
        netns.run(lost, ["dnsmasq", f"--conf-file={folder}/dnsmasq.conf"])

    def advertise_twice() -> None:
        """Of networks' DHCP servers the second one ends by itself: it cannot answer questions for names."""
        netns.run(audited.router, ["dnsmasq", f"--conf-file={store.run}/ra/{audited.routed.id}/dnsmasq.conf"])
        end = time.monotonic() + 5
        while (
            not dhcp.running(store.run).doubled and time.monotonic() < end
        ):  # until the processes that started it are gone
            time.sleep(0.01)

    link, add = ["link", "add", "vx7", "type", "vxlan", "id", "7", "dstport", "4789"], ["bridge", "fdb"]
    surplus: list[tuple[Callable[[], object], list[Found]]] = [
        (
            lambda: netns.run(host.ns, [*add, "append", *FLOOD, "10.99.0.77"]),
            [("tunnel_peer", "vxlan/1001 10.99.0.77", "too many")],
        ),
        (
            lambda: netns.run(host.ns, [*add, "add", "52:54:00:00:00:01", "dev", "vx1001", "dst", "10.99.0.3"]),
            [("tunnel_peer", "vxlan/1001 52:54:00:00:00:01 10.99.0.3", "too many")],
        ),
        (
            lambda: netns.run(host.ns, [*add, "append", *FLOOD, "10.99.0.2", "port", "4790"]),
            [("tunnel_peer", "vxlan/1001 10.99.0.2 port 4790", "too many")],
        ),
        (
            lambda: netns.run(host.ns, [*add, "add", LEARNT, *FLOOD[1:], "10.99.0.3", "dynamic", "extern_learn"]),
            [("tunnel_peer", f"vxlan/1001 {LEARNT} 10.99.0.3", "too many")],
        ),
        (
            lambda: netns.run(
                host.ns, [*add, "replace", audited.guest.plug.mac_address, "dev", "vx1001", "master", "static"]
            ),
            [("fdb_entry", f"br-{RED.id[:11]} {audited.guest.plug.mac_address} vx1001", "too many")],
        ),
        (
            lambda: ip(host.space(RED.id), "address", "add", "10.1.0.99/32", "dev", "net0"),
            [("network_address", f"net/{RED.id} 10.1.0.99", "too many")],
        ),
        (
            lambda: ip(host.space(RED.id), "route", "add", "10.7.0.0/16", "dev", "net0", "proto", "188"),
            [("network_route", f"net/{RED.id} 10.7.0.0/16 dev net0", "too many")],
        ),
        (
            advertise_twice,
            [("dhcp_server", r, "too many")],
        ),
        (
            lambda: ip(audited.router, "address", "add", "203.0.113.77/32", "dev", _outer(audited)),
            [("router_address", f"{r} 203.0.113.77", "too many")],
        ),
        (
            lambda: audited.nft(audited.router, "add element inet kilonova floating { 203.0.113.9 : 10.1.0.9 }"),
            [("rules", f'{r} table inet map floating: ["203.0.113.9", "10.1.0.9"]', "too many")],
        ),
        (
            lambda: audited.nft(host.ns, f"add chain bridge {own} mine"),
            [("rules", "host table bridge chain mine", "too many")],
        ),
        (
            lambda: audited.nft(host.ns, f"insert rule bridge {own} spoof return"),
            [("rules", 'host table bridge chain spoof: [{"return": null}]', "too many")],
        ),
        (serve, [("dhcp_server", f"net/{stray}", "too many"), ("namespace", f"router/{stray}", "too many")]),
        (lambda: ip(host.ns, *link, "local", "10.99.0.1"), [("tunnel", "vxlan/7", "too many")]),
    ]
    for make, expected in surplus:
        make()
        assert audited.differences() == expected
        host.net.sync()
        assert audited.differences() == [], expected
    assert lost not in netns.names()
    nothing = {(kind, problem) for kind, _, problem in audited.differences(Topology())}
    assert nothing == {(kind, "too many") for kind in ("namespace", "dhcp_server", "tunnel")}
    assert differences(Topology(), HostNetInventory(tunnelled=True)) == []


def test_the_guard_of_a_bridge_that_is_not_ours_is_named_and_comes_back(audited: Audited) -> None:
    host, own = audited.host, f"kilonova_{audited.host.net._store.tag}"
    ip(host.ns, "link", "set", "br-provider", "up")
    host.boot(host.port(12, network_id=external().id, physical_network="provider"), bridge="br-provider")
    host.net.sync()
    assert audited.differences() == []
    audited.nft(host.ns, f"delete table netdev {own}")
    assert audited.differences() == [("rules", "host table netdev", "missing")]
    host.net.sync()
    assert audited.differences() == []


def test_rules_that_the_host_was_not_told_yet_are_named(audited: Audited) -> None:
    (known,) = audited.told.ports
    new = audited.told.model_copy(update={"ports": [filters(audited.guest.plug)]})
    assert audited.differences(new) == [("rules", f"port/{known.id}", "out of date")]
    audited.host.net.apply_groups(new.ports, {})
    assert audited.differences(new) == []
    member = ingress(None).model_copy(update={"remote_set": "group:0000-0000-0000"})
    grouped = new.model_copy(
        update={"ports": [filters(audited.guest.plug, member)], "sets": {member.remote_set: ["10.1.0.7/32"]}}
    )
    assert ("rules", f"set/{member.remote_set}", "missing") in audited.differences(grouped)
    audited.host.net.apply_groups(grouped.ports, grouped.sets)
    assert audited.differences(grouped) == []


def test_what_another_host_serves_is_not_missing_here(audited: Audited) -> None:
    elsewhere = Topology(networks=[RED.model_copy(update={"serves_dhcp": False})])
    assert differences(elsewhere, HostNetInventory(tunnelled=True)) == []


def test_a_server_under_another_hosts_name_in_the_same_namespace_is_not_too_many(audited: Audited) -> None:
    """Hosts that share a namespace on one machine see each other's networks and routers there."""
    beside = HostNetwork(audited.host.settings.model_copy(update={"host": "h2", "tunnel_ip": ""}))
    assert {kind for kind, _, _ in differences(Topology(), beside.describe())} == set(), "nothing was told to it"
    beside.ensure_network(RED)
    silent = RED.model_copy(update={"serves_dhcp": False})
    audited.host.net.ensure_network(silent)
    told = audited.told.model_copy(update={"networks": [silent, external()]})
    assert audited.differences(told) == [], "its DHCP server is the other host's"
