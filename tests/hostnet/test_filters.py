"""Security groups in force: every direction in which a packet can reach or leave a guest."""

import socket
from collections.abc import Callable

from infra.hostnet import links, netns, tunnels
from infra.hostnet.models import FilterRule, FixedIp
from tests.hostnet.conftest import TIMEOUT_S, Host, StandIn, filters, ingress, ip, pings, reaches, tcp_open

GATEWAY = "10.9.0.1"


def test_a_guest_is_unreachable_until_a_rule_allows_it_and_again_afterwards(host: Host) -> None:
    guest = host.boot(host.port(11))
    guest.listen(22)
    assert not pings(host.home, guest.address)
    assert not reaches(host.home, guest.address, 22)
    assert host.net.apply_groups([filters(guest.plug, ingress("icmp"), ingress("tcp", 22))], {})
    assert pings(host.home, guest.address, 5)
    assert reaches(host.home, guest.address, 22)
    assert not host.net.apply_groups([filters(guest.plug, ingress("icmp"), ingress("tcp", 22))], {})
    assert host.net.apply_groups([filters(guest.plug, ingress("icmp"))], {})
    assert pings(host.home, guest.address, 5)
    assert not reaches(host.home, guest.address, 22)
    host.net.apply_groups([], {})
    assert not pings(host.home, guest.address)


def test_guests_on_one_bridge_reach_each_other_only_as_members_of_the_remote_group(host: Host) -> None:
    one, two, three = (host.boot(host.port(n)) for n in (11, 12, 13))
    two.listen(80)
    group = ingress("tcp", 80, [f"{one.address}/32", f"{two.address}/32"])
    host.net.apply_groups([filters(g.plug, group) for g in (one, two, three)], {})
    assert reaches(one.ns, two.address, 80)
    assert not reaches(three.ns, two.address, 80)
    assert not pings(one.ns, two.address)


def test_traffic_from_outside_through_the_bridge_is_filtered(host: Host, outside: StandIn) -> None:
    guest = host.boot(host.port(11))
    guest.listen(22)
    outside.listen(443)
    assert not reaches(outside.ns, guest.address, 22)
    host.net.apply_groups([filters(guest.plug, ingress("tcp", 22, ["10.9.0.99/32"]))], {})
    assert reaches(outside.ns, guest.address, 22)
    assert reaches(guest.ns, outside.address, 443)
    host.net.apply_groups([filters(guest.plug, ingress("tcp", 22, ["10.9.0.98/32"]))], {})
    assert not reaches(outside.ns, guest.address, 22)


def test_answers_pass_without_an_egress_rule(host: Host, outside: StandIn) -> None:
    guest = host.boot(host.port(11))
    guest.listen(22)
    host.net.apply_groups([filters(guest.plug).model_copy(update={"rules": [ingress("tcp", 22)]})], {})
    for client in (outside.ns, host.home):
        assert reaches(client, guest.address, 22)
    outside.listen(22)
    assert not reaches(guest.ns, outside.address, 22)


def test_removing_a_rule_cuts_connections_that_it_had_allowed(host: Host) -> None:
    guest = host.boot(host.port(11))
    guest.listen(22)
    host.net.apply_groups([filters(guest.plug, ingress("tcp", 22))], {})
    connection = tcp_open(host.home, guest.address, 22)
    assert connection
    peer, _ = guest._sockets[0].accept()
    with connection, peer:
        peer.settimeout(0.4)
        connection.sendall(b"allowed")
        assert peer.recv(10) == b"allowed"
        host.net.apply_groups([filters(guest.plug)], {})
        connection.sendall(b"cut")
        try:
            assert peer.recv(10) == b""
        except TimeoutError:
            return


def test_a_guest_reaches_of_the_host_only_its_gateways_services(host: Host) -> None:
    guest = host.boot(host.port(11))
    host.net.apply_groups([filters(guest.plug)], {})
    ip(host.ns, "address", "add", "192.0.2.1/32", "dev", "lo")
    open_ports = [netns.call(ns, lambda: socket.create_server(("0.0.0.0", 5000))) for ns in (host.ns, host.home)]
    with open_ports[0], open_ports[1]:
        assert pings(guest.ns, GATEWAY, 5)
        assert reaches(guest.ns, GATEWAY, 53)
        assert not reaches(guest.ns, GATEWAY, 5000)
        assert reaches(host.home, GATEWAY, 5000)
        bridge = links.snapshot(host.ns)[f"br-{host.network_id[:11]}"].mac
        ip(guest.ns, "route", "add", "192.0.2.1", "dev", "eth0")
        ip(guest.ns, "neigh", "add", "192.0.2.1", "lladdr", bridge, "dev", "eth0")
        assert not reaches(guest.ns, "192.0.2.1", 5000), "the host's own address by way of the bridge"
        assert not pings(guest.ns, "192.0.2.1")
        assert reaches(host.ns, "192.0.2.1", 5000)


def test_egress_rules_are_honoured(host: Host) -> None:
    one, two = host.boot(host.port(11)), host.boot(host.port(12))
    for port in (80, 81):
        two.listen(port)
    outward = FilterRule(direction="egress", protocol="tcp", port_range_min=80, port_range_max=80)
    limited = filters(one.plug).model_copy(update={"rules": [outward]})
    host.net.apply_groups([limited, filters(two.plug, ingress(None))], {})
    assert reaches(one.ns, two.address, 80)
    assert not reaches(one.ns, two.address, 81)
    assert not pings(one.ns, GATEWAY)


def test_without_port_security_nothing_is_filtered_but_the_host_stays_closed(host: Host) -> None:
    guest = host.boot(host.port(11, port_security_enabled=False))
    guest.listen(22)
    server = netns.call(host.home, lambda: socket.create_server(("0.0.0.0", 5000)))
    with server:
        assert reaches(host.home, guest.address, 22)
        assert pings(guest.ns, GATEWAY, 5)
        assert not reaches(guest.ns, GATEWAY, 5000)
    strict = filters(guest.plug)
    host.net.apply_groups([strict], {})
    assert not reaches(host.home, guest.address, 22)


def _second_network(host: Host, address: str, number: int, prefix: str = "10.8.0.0/24") -> StandIn:
    gateway = address.rsplit(".", 1)[0] + ".1"
    fixed = FixedIp(ip_address=address, subnet_id="second-subnet", cidr=prefix, gateway_ip=gateway)
    return host.boot(host.port(number, network_id="0000beef-0000-4000-8000-000000000000", fixed_ips=[fixed]))


def test_networks_do_not_reach_each_other_through_the_host(host: Host) -> None:
    one, two = host.boot(host.port(11)), _second_network(host, "10.8.0.11", 12)
    two.listen(80)
    host.net.apply_groups([filters(g.plug, ingress(None)) for g in (one, two)], {})
    ip(one.ns, "route", "add", "default", "via", GATEWAY)
    ip(two.ns, "route", "add", "default", "via", "10.8.0.1")
    assert reaches(host.space(two.plug.network_id), two.address, 80)
    assert not reaches(host.home, two.address, 80)
    assert not reaches(one.ns, two.address, 80)
    for namespace in (host.ns, host.home, host.space(two.plug.network_id)):
        netns.sysctl(namespace, {"ipv4/ip_forward": "1"})
    assert not reaches(one.ns, two.address, 80)


def test_a_narrower_subnet_of_another_network_takes_no_route(host: Host) -> None:
    victim = host.boot(host.port(11))
    thief = _second_network(host, "10.9.0.11", 12, "10.9.0.0/25")
    for guest, port in ((victim, 80), (thief, 81)):
        guest.listen(port)
    host.net.apply_groups([filters(g.plug, ingress(None)) for g in (victim, thief)], {})
    assert reaches(host.home, "10.9.0.11", 80)
    assert not reaches(host.home, "10.9.0.11", 81)
    assert reaches(host.space(thief.plug.network_id), "10.9.0.11", 81)
    assert not [link.addresses for name, link in links.snapshot(host.ns).items() if name != "lo" and link.addresses]


def test_equal_addresses_on_two_networks_are_kept_apart(host: Host) -> None:
    pairs = []
    for network in ("0000aaaa-0000-4000-8000-000000000000", "0000bbbb-0000-4000-8000-000000000000"):
        pairs.append([host.boot(host.port(n, network_id=network)) for n in (11, 12)])
        pairs[-1][1].listen(80)
    host.net.apply_groups([filters(guest.plug, ingress("tcp", 80)) for pair in pairs for guest in pair], {})
    for pair in pairs:
        assert reaches(pair[0].ns, "10.9.0.12", 80)
    host.net.apply_groups([filters(guest.plug, ingress("tcp", 80)) for guest in pairs[0]], {})
    assert reaches(pairs[0][0].ns, "10.9.0.12", 80)
    assert not reaches(pairs[1][0].ns, "10.9.0.12", 80)


def test_rules_that_somebody_removed_are_restored(host: Host) -> None:
    guest = host.boot(host.port(11))
    guest.listen(22)
    netns.run(host.ns, ["nft", "flush", "ruleset"])
    assert reaches(host.home, guest.address, 22)
    assert host.net.sync() == ["filters"]
    assert not reaches(host.home, guest.address, 22)
    assert host.net.sync() == []


def test_two_hosts_in_one_namespace_keep_each_others_rules(make_host: Callable[..., Host]) -> None:
    host = make_host()
    other = make_host(netns=host.ns, host="h2")
    other.ns = host.ns
    one = host.boot(host.port(11))
    two = other.boot(other.port(12, network_id=host.network_id))
    two.listen(80)
    host.net.apply_groups([filters(one.plug)], {})
    other.net.apply_groups([filters(two.plug, ingress("tcp", 80))], {})
    assert reaches(one.ns, two.address, 80)
    assert list(host.net.describe().ports) == [one.plug.port_id]
    assert host.net.describe().taps == host.net.describe().filters == [one.plug.tap]
    host.net.unplug(one.plug.port_id)
    assert reaches(host.home, two.address, 80)
    other.net.unplug(two.plug.port_id)
    assert other.net.describe().bridges == []


def _is_refused(source: str, address: str) -> bool:
    """Whether a datagram to a closed port is answered by the ICMP error that belongs to it."""
    datagram = netns.call(source, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    with datagram:
        datagram.settimeout(TIMEOUT_S)
        datagram.connect((address, 9))
        datagram.send(b"x")
        try:
            datagram.recv(10)
        except ConnectionRefusedError:
            return True
        except TimeoutError:
            return False
    return False


def test_errors_about_an_allowed_packet_come_back(host: Host, outside: StandIn) -> None:
    guest = host.boot(host.port(11))
    host.net.apply_groups([filters(guest.plug).model_copy(update={"rules": [ingress("udp", 9)]})], {})
    assert _is_refused(host.home, guest.address)
    assert _is_refused(outside.ns, guest.address)
    host.net.apply_groups([filters(guest.plug)], {})
    assert _is_refused(guest.ns, outside.address)
    assert not _is_refused(outside.ns, guest.address)


def _datagram(source: StandIn, target: StandIn, port: int, size: int) -> bool:
    """Whether a datagram of `size` octets arrives, and its answer comes back."""
    ends = [
        netns.call(guest.ns, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for guest in (source, target)
    ]
    with ends[0], ends[1]:
        for end in ends:
            end.settimeout(TIMEOUT_S)
        ends[1].bind(("0.0.0.0", port))
        ends[0].sendto(b"x" * size, (target.address, port))
        try:
            body, sender = ends[1].recvfrom(65536)
            ends[1].sendto(body, sender)
            return len(ends[0].recv(65536)) == size
        except TimeoutError:
            return False


def test_fragments_pass_and_are_stopped_as_the_whole_datagram_is(host: Host) -> None:
    """Only the first of them has ports; both ways, and both guests' rules."""
    one, two = host.boot(host.port(11)), host.boot(host.port(12))
    outward = FilterRule(direction="egress", protocol="udp", port_range_min=700, port_range_max=701)
    limited = filters(one.plug).model_copy(update={"rules": [outward]})
    host.net.apply_groups([limited, filters(two.plug, ingress("udp", 700), ingress("udp", 702))], {})
    assert _datagram(one, two, 700, 4000)
    assert not _datagram(one, two, 701, 4000), "the receiver's rules"
    assert not _datagram(one, two, 702, 4000), "the sender's rules"


def test_a_tunnel_of_the_guests_own_is_tracked(host: Host) -> None:
    """The host's tunnels are not, and have the same port."""
    one, two = host.boot(host.port(11)), host.boot(host.port(12))
    closed = filters(one.plug).model_copy(update={"rules": [FilterRule(direction="egress")]})
    host.net.apply_groups([closed, filters(two.plug, ingress("udp", tunnels.PORT))], {})
    assert _datagram(one, two, tunnels.PORT, 100)
