"""Groups as sets, both families, stateless groups, ports that are down; and what one change costs."""

import time
from collections.abc import Callable

from infra.hostnet import netns
from infra.hostnet.models import AddressPair, FilterRule, FixedIp, PortFilter
from infra.hostnet.tables import Set, Table, chains, changes
from tests.hostnet.conftest import Host, StandIn, filters, ingress, pings, reaches

GROUP = "group:5f0c3a6e-5b0e-4b39-9d6e-000000000001"
SIX = "2001:db8:9::"


def dual(host: Host, number: int) -> StandIn:
    """A guest with 10.9.0.<number> and 2001:db8:9::<number>."""
    plug = host.port(number)
    more = FixedIp(ip_address=f"{SIX}{number}", subnet_id="subnet-six-0", cidr=f"{SIX}/64", gateway_ip=f"{SIX}1")
    guest = host.boot(plug.model_copy(update={"fixed_ips": [*plug.fixed_ips, more]}))
    guest.configure(f"{SIX}{number}")
    guest.listen(80)
    return guest


def v6(protocol: str | None, port: int | None = None, **changes: object) -> FilterRule:
    return ingress(protocol, port).model_copy(update={"ethertype": "IPv6", **changes})


def member_rule(ethertype: str = "IPv4") -> FilterRule:
    return FilterRule(direction="ingress", ethertype=ethertype, protocol="tcp", remote_set=GROUP)


def open_to(guest: StandIn, *rules: FilterRule) -> PortFilter:
    out = FilterRule(direction="egress", ethertype="IPv6")
    found = filters(guest.plug, *rules)
    return found.model_copy(update={"rules": [*found.rules, out]})


def test_members_of_a_group_come_and_go_by_one_element(host: Host) -> None:
    one, two, three = (dual(host, n) for n in (11, 12, 13))
    ports = [open_to(g, member_rule(), member_rule("IPv6")) for g in (one, two, three)]
    crowd = [f"172.16.{n // 250}.{n % 250 + 1}/32" for n in range(1000)]
    host.net.apply_groups(ports, {GROUP: [*crowd, f"{one.address}/32", f"{SIX}11/128"]})
    assert reaches(one.ns, two.address, 80) and not reaches(three.ns, two.address, 80)
    assert reaches(one.ns, f"{SIX}12", 80) and not reaches(three.ns, f"{SIX}12", 80)
    sent: list[str] = []
    real = netns.run

    def run(namespace: str, command: list[str], text: str = "") -> str:
        sent.append(text)
        return real(namespace, command, text)

    netns.run = run
    try:
        assert host.net.apply_groups(ports, {GROUP: [*crowd, f"{three.address}/32", f"{SIX}11/128"]})
    finally:
        netns.run = real
    assert [line.split("{")[1] for line in "".join(sent).splitlines()] == [" 10.9.0.11 }", " 10.9.0.13 }"]
    assert reaches(three.ns, two.address, 80) and not reaches(one.ns, two.address, 80)
    assert reaches(one.ns, f"{SIX}12", 80)


def test_a_member_with_a_range_and_a_group_that_is_empty(host: Host) -> None:
    one, two = dual(host, 11), dual(host, 12)
    ports = [open_to(g, member_rule()) for g in (one, two)]
    for members, expected in ([], False), (["10.9.0.8/29"], True), (["10.9.0.11/32"], True), ([], False):
        host.net.apply_groups(ports, {GROUP: members})
        assert reaches(one.ns, two.address, 80) == expected


def test_ipv6_is_closed_until_a_rule_of_its_own_opens_it(host: Host) -> None:
    one, two = dual(host, 11), dual(host, 12)
    host.net.apply_groups([open_to(one), open_to(two, ingress(None))], {})
    assert reaches(one.ns, two.address, 80) and not reaches(one.ns, f"{SIX}12", 80)
    host.net.apply_groups([open_to(one), open_to(two, v6("tcp", 80))], {})
    assert reaches(one.ns, f"{SIX}12", 80) and not pings(one.ns, f"{SIX}12")
    assert not reaches(one.ns, two.address, 80)
    for rule in (v6("icmp"), v6("ipv6-icmp", 128, port_range_max=None), v6("58")):
        host.net.apply_groups([open_to(one), open_to(two, rule)], {})
        assert pings(one.ns, f"{SIX}12", 5) and not reaches(one.ns, f"{SIX}12", 80)
    host.net.apply_groups([open_to(one), open_to(two, v6("icmp", 129, port_range_max=None))], {})
    assert not pings(one.ns, f"{SIX}12")


def test_an_ipv6_address_that_is_not_the_ports_own_neither_sends_nor_answers(host: Host) -> None:
    one, two = dual(host, 11), dual(host, 12)
    ports = [open_to(one), open_to(two, v6(None))]
    host.net.apply_groups(ports, {})
    assert pings(one.ns, f"{SIX}12", 5)
    one.configure(f"{SIX}77")
    two.configure(f"{SIX}78")
    assert not pings(one.ns, f"{SIX}78"), "a neighbour that nobody gave that address"
    netns.run(one.ns, ["ip", "address", "delete", f"{SIX}11/64", "dev", "eth0"])
    assert not pings(one.ns, f"{SIX}12"), "a source that nobody gave"
    pair = AddressPair(ip_address=f"{SIX}77")
    host.net.apply_groups([ports[0].model_copy(update={"allowed_address_pairs": [pair]}), ports[1]], {})
    assert pings(one.ns, f"{SIX}12", 5)


def test_a_stateless_group_needs_a_rule_for_the_answer(host: Host) -> None:
    one, two = dual(host, 11), dual(host, 12)
    calling = filters(one.plug).model_copy(update={"stateful": False})
    host.net.apply_groups([calling, filters(two.plug, ingress("tcp", 80))], {})
    assert not reaches(one.ns, two.address, 80)
    answers = ingress("tcp").model_copy(update={"port_range_min": 1024, "port_range_max": 65535})
    answering = filters(one.plug, answers).model_copy(update={"stateful": False})
    host.net.apply_groups([answering, filters(two.plug, ingress("tcp", 80))], {})
    assert reaches(one.ns, two.address, 80)


def test_a_port_that_is_down_passes_nothing_either_way(host: Host) -> None:
    one, two = dual(host, 11), dual(host, 12)
    ports = [filters(g.plug, ingress(None)) for g in (one, two)]
    for up in (True, False, True):
        host.net.apply_groups([ports[0], ports[1].model_copy(update={"admin_state_up": up})], {})
        assert reaches(one.ns, two.address, 80) == pings(host.home, two.address) == pings(two.ns, "10.9.0.1") == up
    loose = ports[1].model_copy(update={"admin_state_up": False, "port_security_enabled": False})
    host.net.apply_groups([ports[0], loose], {})
    assert not pings(host.home, two.address)


def test_a_change_reaches_the_kernel_within_a_second_at_100_ports(make_host: Callable[..., Host]) -> None:
    host = make_host()
    guests = [host.boot(host.port(n)) for n in (2, 3)]
    plugs = [g.plug for g in guests] + [host.port(n, mac_address=f"fa:16:3e:00:01:{n:02x}") for n in range(4, 102)]
    for plug in plugs[2:]:
        host.net.plug(plug)
    guests[1].listen(80)
    groups = [f"10.9.{n // 250}.{n % 250 + 1}/32" for n in range(1000)]
    ports = [filters(plug, *(ingress("tcp", 1000 + n) for n in range(8)), member_rule()) for plug in plugs]
    host.net.apply_groups(ports, {GROUP: groups[500:]})
    assert not reaches(guests[0].ns, guests[1].address, 80)
    begun = time.monotonic()
    host.net.apply_groups(ports, {GROUP: groups})
    took = time.monotonic() - begun
    assert reaches(guests[0].ns, guests[1].address, 80)
    assert took < 1.0, f"{took:.2f} s"


def test_any_table_becomes_any_other(host: Host) -> None:
    """Every pair of a walk through tables that share and do not share names, loaded by difference and read back."""
    host.net.ensure_namespace()
    hook = "chain base {\ntype filter hook prerouting priority 0; policy accept;\niifname vmap @m\n}\n"
    walk = [
        Table("bridge", "t", {"m": Set("ifname : verdict", maps=True)}, chains(hook)),
        Table(
            "bridge",
            "t",
            {
                "g": Set("ipv4_addr", frozenset({"10.0.0.1"})),
                "m": Set("ifname : verdict", frozenset({'"a" : goto x'}), maps=True),
            },
            chains("chain x {\nip saddr @g return\ndrop\n}\n" + hook),
        ),
        Table(
            "bridge",
            "t",
            {
                "r": Set("ipv4_addr", frozenset({"10.0.0.0/8", "192.0.2.1"}), interval=True),
                "m": Set("ifname : verdict", frozenset({'"a" : goto y', '"b" : goto y'}), maps=True),
            },
            chains("chain y {\nip saddr @r return\ndrop\n}\n" + hook),
        ),
    ]

    def shown() -> str:
        return netns.run(host.ns, ["nft", "-s", "list", "table", "bridge", "t"])

    for start in walk:
        for end in walk:
            netns.run(host.ns, ["nft", "-f", "-"], end.whole())
            expected = sorted(shown().splitlines())
            netns.run(host.ns, ["nft", "-f", "-"], start.whole())
            difference = changes(start, end)
            assert difference is not None and (difference == "") == (start is end)
            netns.run(host.ns, ["nft", "-f", "-"], difference)
            assert sorted(shown().splitlines()) == expected
    netns.run(host.ns, ["nft", "delete", "table", "bridge", "t"])
