"""What a guest may not pretend to be, sent as raw frames and looked for at its neighbour."""

import subprocess
from collections.abc import Callable

import pytest

from infra.hostnet.models import AddressPair
from tests.hostnet import frames
from tests.hostnet.conftest import Host, StandIn, filters, ingress, ip, reaches
from tests.hostnet.frames import arrives, ethernet, udp

OTHER_MAC = "fa:16:3e:00:00:77"
OTHER_IP = "10.9.0.77"
MARK = b"kilonova-test-frame"


@pytest.fixture
def pair(host: Host) -> tuple[StandIn, StandIn]:
    one, two = host.boot(host.port(11)), host.boot(host.port(12))
    host.net.apply_groups([filters(guest.plug, ingress(None)) for guest in (one, two)], {})
    return one, two


def test_only_the_ports_own_addresses_leave_it(pair: tuple[StandIn, StandIn]) -> None:
    one, two = pair
    mine, theirs = one.plug.mac_address, two.plug.mac_address
    sender, receiver = one.packets(), two.packets()
    packet, faked = udp(one.address, two.address, MARK), udp(OTHER_IP, two.address, MARK)
    tag = b"\x00\x07\x08\x00"
    assert arrives(sender, ethernet(theirs, mine, 0x0800, packet), receiver, MARK)
    assert not arrives(sender, ethernet(theirs, OTHER_MAC, 0x0800, packet), receiver, MARK), "source MAC"
    assert not arrives(sender, ethernet(theirs, mine, 0x0800, faked), receiver, MARK), "source IP"
    assert not arrives(sender, ethernet(theirs, mine, 0x8100, tag + faked), receiver, MARK), "VLAN tag"
    assert not arrives(sender, ethernet(theirs, mine, 0x8864, tag + packet), receiver, MARK), "PPPoE"
    assert not arrives(sender, ethernet(theirs, mine, 0x86DD, b"\x60" + bytes(39) + MARK), receiver, MARK), "IPv6"
    served = udp(one.address, two.address, MARK, (67, 68))
    assert not arrives(sender, ethernet(theirs, mine, 0x0800, served), receiver, MARK), "DHCP server"


def test_arp_answers_only_for_the_ports_own_addresses(pair: tuple[StandIn, StandIn]) -> None:
    one, two = pair
    mine = one.plug.mac_address
    sender, receiver = one.packets(), two.packets()

    def seen(source: str, hardware: str, address: str) -> bool:
        body = frames.arp_reply(hardware, address, two.address)
        return arrives(sender, ethernet(frames.BROADCAST, source, 0x0806, body), receiver, body)

    assert seen(mine, mine, one.address)
    assert not seen(mine, mine, OTHER_IP)
    assert not seen(mine, mine, "10.9.0.1")
    assert not seen(mine, OTHER_MAC, one.address)
    assert not seen(OTHER_MAC, mine, one.address)
    assert seen(mine, mine, "0.0.0.0"), "a probe for a free address"
    assert not seen(mine, OTHER_MAC, "0.0.0.0")


def test_a_frame_for_somebody_else_is_not_flooded_into_a_guest(pair: tuple[StandIn, StandIn]) -> None:
    one, two = pair
    frame = ethernet(OTHER_MAC, one.plug.mac_address, 0x0800, udp(one.address, OTHER_IP, MARK))
    assert not arrives(one.packets(), frame, two.packets(), MARK)


def test_frames_of_other_protocols_pass_neither_way_but_for_migrations_rarp(host: Host, outside: StandIn) -> None:
    guest = host.boot(host.port(11))
    host.net.apply_groups([filters(guest.plug, ingress(None))], {})
    mine = guest.plug.mac_address
    inner, outer = guest.packets(), outside.packets()
    ipv6 = b"\x60" + bytes(39) + MARK
    assert not arrives(inner, ethernet(frames.BROADCAST, mine, 0x86DD, ipv6), outer, MARK)
    assert not arrives(outer, ethernet(mine, OTHER_MAC, 0x86DD, ipv6), inner, MARK)
    assert arrives(inner, ethernet(frames.BROADCAST, mine, 0x8035, MARK), outer, MARK)
    assert not arrives(inner, ethernet(frames.BROADCAST, OTHER_MAC, 0x8035, MARK), outer, MARK)


def _learned_at(host: Host, address: str) -> list[str]:
    table = subprocess.run(["bridge", "-n", host.ns, "fdb"], capture_output=True, text=True, check=True).stdout
    return [line.split()[2] for line in table.splitlines() if line.startswith(address)]


def _teach(pretender: StandIn, victim: StandIn) -> None:
    """The victim speaks; then another says by frames to a bridge itself, of authentication and LLDP, that it is him."""
    mine = victim.plug.mac_address
    told = frames.arp_reply(mine, victim.address, pretender.address)
    victim.packets().send(ethernet(frames.BROADCAST, mine, 0x0806, told))
    sender = pretender.packets()
    sender.send(ethernet("01:80:c2:00:00:03", mine, 0x888E, MARK))
    sender.send(ethernet("01:80:c2:00:00:0e", mine, 0x88CC, MARK))


def test_link_local_frames_cannot_teach_the_bridge_a_foreign_address(host: Host, pair: tuple[StandIn, StandIn]) -> None:
    """On a bridge of ours from the first frame on, whether `sync` has seen the tap or not."""
    one, two = pair
    _teach(one, two)
    assert _learned_at(host, two.plug.mac_address) == [two.plug.tap]
    bridge = f"br-{host.network_id[:11]}"
    ip(host.ns, "link", "set", bridge, "type", "bridge", "group_fwd_mask", "0")
    assert host.net.sync() == [f"bridge {bridge}"]
    _teach(one, two)
    assert _learned_at(host, two.plug.mac_address) == [two.plug.tap]


def test_nor_can_they_on_a_bridge_that_is_not_ours(make_host: Callable[..., Host]) -> None:
    host = make_host(bridge_mappings={"provider": "br-theirs"})
    host.net.ensure_namespace()
    for change in (["add", "br-theirs", "type", "bridge"], ["set", "br-theirs", "up"]):
        ip(host.ns, "link", *change)
    one, two = (host.boot(host.port(n, physical_network="provider"), bridge="br-theirs") for n in (11, 12))
    host.net.apply_groups([filters(guest.plug, ingress(None)) for guest in (one, two)], {})
    host.net.sync()
    _teach(one, two)
    assert _learned_at(host, two.plug.mac_address) == [two.plug.tap]


def test_allowed_address_pairs_may_be_used_even_by_two_ports(host: Host) -> None:
    one, two = host.boot(host.port(11)), host.boot(host.port(12))
    virtual = AddressPair(ip_address=OTHER_IP, mac_address="00:00:5e:00:01:01")
    wide = AddressPair(ip_address="10.9.0.128/25")
    rules = [filters(guest.plug, ingress(None), pairs=(virtual, wide)) for guest in (one, two)]
    host.net.apply_groups(rules, {})
    sender, receiver = one.packets(), two.packets()

    def seen(source: str, address: str) -> bool:
        frame = ethernet(two.plug.mac_address, source, 0x0800, udp(address, two.address, MARK))
        return arrives(sender, frame, receiver, MARK)

    assert seen("00:00:5e:00:01:01", OTHER_IP)
    assert seen(one.plug.mac_address, "10.9.0.200")
    assert not seen(one.plug.mac_address, "10.9.0.100")
    assert not seen(one.plug.mac_address, OTHER_IP)
    two.configure("10.9.0.200")
    two.listen(80)
    assert reaches(host.home, "10.9.0.200", 80)


def test_a_tap_that_nobody_plugged_is_cut_off(host: Host, outside: StandIn) -> None:
    host.boot(host.port(11))
    stray = StandIn(host.ns, host.port(13), f"br-{host.network_id[:11]}")
    host.guests.append(stray)
    inner, outer = stray.packets(), outside.packets()
    assert not arrives(inner, ethernet(frames.BROADCAST, stray.plug.mac_address, 0x0800, MARK), outer, MARK)
    assert not arrives(outer, ethernet(frames.BROADCAST, OTHER_MAC, 0x0800, MARK), inner, MARK)
    assert stray.plug.tap in host.net.describe().taps
