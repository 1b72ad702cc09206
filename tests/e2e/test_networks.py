"""Routers, floating addresses, forwarded ports, IPv6, pairs and metadata with real guests. The tests run in this order.

Both tenants' guests have the same address behind routers of their own; a namespace stands in for the world outside."""

import functools
import json
import re
from collections.abc import Iterator

import pytest

from tests.e2e import networks
from tests.e2e.changes import Changes, processes
from tests.e2e.cloud import Cloud, wait_for
from tests.e2e.modes import PREFIXES, RESOLVER6, Modes
from tests.e2e.networks import (
    INNER,
    INNER6,
    METADATA,
    NAME,
    OUTSIDE,
    PAIR,
    USER_DATA,
    Pings,
    Tenant,
    World,
    kill,
)

PARTS = 2
"""An even number: what the first part changes, the last one takes back."""


@pytest.fixture(scope="module")
def modes(cloud: Cloud) -> Iterator[Modes]:
    found = Modes(cloud)
    yield found
    found.clear()


@pytest.fixture(scope="module")
def both(cloud: Cloud, modes: Modes) -> Iterator[tuple[Tenant, Tenant]]:
    with networks.tenants(cloud, modes) as found:
        yield found


@pytest.fixture(scope="module")
def world(cloud: Cloud, both: tuple[Tenant, Tenant]) -> Iterator[World]:
    """The provider network's bridge is there while something is on it."""
    found = World(cloud)
    yield found
    found.close()


@pytest.fixture(scope="module")
def changes(cloud: Cloud, world: World, both: tuple[Tenant, Tenant], modes: Modes) -> Iterator[Changes]:
    found = Changes(cloud, world, both, modes)
    yield found
    found.clear()


@pytest.fixture(scope="module")
def red(both: tuple[Tenant, Tenant]) -> Tenant:
    return both[0]


def test_each_tenants_guest_answers_at_its_own_floating_address(world: World, both: tuple[Tenant, Tenant]) -> None:
    """The router that a floating address lies on decides whose 10.77.0.10 is meant, and so does it for metadata."""
    for tenant in both:
        script = f"hostname; ip -4 -o addr show eth0; wget -qO- {METADATA}/openstack/latest/meta_data.json"
        name, addresses, document = world.ssh(tenant.address, script, seconds=90).split("\n", 2)
        assert name == tenant.name and f"{INNER}.10/24" in addresses
        assert json.loads(document)["uuid"] == tenant.server_id
        wait_for(tenant.is_active, 10, "the floating address is ACTIVE")


def test_out_by_address_and_by_name(world: World, red: Tenant) -> None:
    """Through the router, which lends its guests an address, to a machine and by a name server outside."""
    shown = world.ssh(red.address, f"ping -c 2 {OUTSIDE}; ping -c 2 {NAME}")
    assert shown.count(" 0% packet loss") == 2, shown


def test_metadata_from_inside(cloud: Cloud, world: World, red: Tenant) -> None:
    paths = ["openstack/latest/user_data", "latest/meta-data/public-keys/0/openssh-key", "latest/meta-data/local-ipv4"]
    said = world.ssh(red.address, "; echo; ".join(f"wget -qO- {METADATA}/{path}" for path in paths))
    key = cloud.key.with_suffix(".pub").read_text().split()[1]
    assert USER_DATA in said and key in said and f"{INNER}.10" in said, said
    drive = "sudo mount -o ro -t iso9660 /dev/sr0 /mnt && cat /mnt/openstack/latest/vendor_data.json; sudo umount /mnt"
    for script in (f"wget -qO- {METADATA}/openstack/latest/vendor_data.json", drive):
        assert json.loads(world.ssh(red.address, script)) == {"told": "by the operator"}


def test_an_ipv6_address_of_its_own_by_slaac(world: World, both: tuple[Tenant, Tenant]) -> None:
    for each in both:
        addresses = functools.partial(each.inside, "ip -6 -o addr show dev eth0 scope global", world)
        wait_for(lambda each=each, shown=addresses: each.address6 in shown(), 20, "the address that the port has")
        ping = functools.partial(each.inside, f"ping -6 -c 1 -I {each.address6} {INNER6}1", world)
        wait_for(lambda shown=ping: " 0% packet loss" in shown(), 20, "the router answers")


@pytest.mark.parametrize("mode", PREFIXES)
def test_ipv6_by_dhcpv6(world: World, both: tuple[Tenant, Tenant], modes: Modes, mode: str) -> None:
    """Of cards that a guest starts with, and of those that it gets while it runs: the client follows what the network
    says of itself. Managed: the port's address is leased. Otherwise DHCPv6 is asked for name servers only."""
    own = {each.name: modes.address(mode, each.name) for each in both}
    stateful = mode == "dhcpv6-stateful"
    assert stateful or all("ff:fe" in address for address in own.values()), "made of the port's MAC address"
    for each in both:
        said = f"{'BOUND6' if stateful else 'INFORM6'} {own[each.name] if stateful else ''} {RESOLVER6}"
        log = functools.partial(each.inside, "cat /var/log/dhcp6.log", world)
        wait_for(lambda said=said, shown=log: said in shown(), 30, f"{each.name}: {said}")
        addresses = functools.partial(each.inside, "ip -6 -o addr show scope global", world)
        wait_for(lambda each=each, shown=addresses: own[each.name] in shown(), 20, "the address that the port has")
        assert f"nameserver {RESOLVER6}" in each.inside("cat /etc/resolv.conf", world)
    red, _ = both
    rules = [each.allow(ether_type="IPv6", protocol="ipv6-icmp") for each in both]
    card, foreign = f"$(ip -6 -o addr show | grep {own['red']} | cut -d' ' -f 2)", f"{PREFIXES[mode]}bad"
    pings = [f"{own['red']} {PREFIXES[mode]}1", f"{own['red']} {own['blue']}", f"{foreign} {PREFIXES[mode]}1"]
    script = f"sudo ip addr add {foreign}/64 dev {card}; sleep 2; "
    script += "; ".join(f"ping -6 -c 1 -W 1 -I {ping} | grep loss" for ping in pings)
    wait_for(lambda: losses(red.inside(script, world)) == ["0", "0", "100"], 20, "neighbours, and no foreign address")
    for each, rule in zip(both, rules, strict=True):
        each.sdk.network.delete_security_group_rule(rule)
    red.inside(f"sudo ip addr del {foreign}/64 dev {card}", world)


def losses(shown: str) -> list[str]:
    return re.findall(r"(\d+)% packet loss", shown)


def test_a_forwarded_port_and_nothing_but_it(cloud: Cloud, world: World, both: tuple[Tenant, Tenant]) -> None:
    """Of a guest without a floating address of its own: Neutron refuses both at once."""
    network, blue = both[1].sdk.network, both[1]
    assert world.reaches(blue.address, 22)
    network.delete_ip(blue.floating)
    shared = blue.shared = network.create_ip(floating_network_id=cloud.network)
    blue.forward(shared, 2222)
    assert world.ssh(shared.floating_ip_address, "hostname", port=2222, seconds=20) == "blue\n"
    assert not world.reaches(shared.floating_ip_address, 22)


def test_a_rule_comes_and_goes_while_a_ping_runs(world: World, red: Tenant) -> None:
    with Pings(world, red.address) as pings:
        rule = red.allow(protocol="icmp")
        wait_for(pings.answered, 5, "answers after the rule", every_s=0.05)
        red.sdk.network.delete_security_group_rule(rule)
        wait_for(lambda: not pings.answered(within_s=1), 5, "silence after the rule", every_s=0.05)


def test_an_allowed_pair_passes_and_without_it_is_dropped(world: World, red: Tenant) -> None:
    assert not pair_passes(world, red)
    red.pairs({"ip_address": PAIR})
    wait_for(lambda: pair_passes(world, red), 10, "the pair passes")
    red.pairs()
    wait_for(lambda: not pair_passes(world, red), 10, "it passes no more")


def pair_passes(world: World, red: Tenant) -> bool:
    script = f"sudo ip addr add {PAIR}/24 dev eth0 2>/dev/null; ping -c 1 -W 1 -I {PAIR} {INNER}.1"
    return losses(world.ssh(red.address, script)) == ["0"]


@pytest.mark.turns
@pytest.mark.parametrize("part", range(PARTS))
def test_every_process_is_killed_in_the_middle_of_every_change(cloud: Cloud, changes: Changes, part: int) -> None:
    """A change that was answered holds, whoever is killed while it is carried out: all that the supervisor keeps, and
    what those started. Each is killed once, a part of them at a time, while all changes are under way."""
    on, known = part % 2 == 0, processes(cloud)
    names = list(known)[part::PARTS]
    guests = [cloud.qemu_pids(each.server_id) for each in (changes.red, changes.blue)]
    changes.make(on, lambda: kill(*(pid for name in names for pid in known[name])))
    changes.hold(on)
    wait_for(lambda: are_others(known, processes(cloud), names), 30, f"all of {names} run again")
    assert guests == [cloud.qemu_pids(each.server_id) for each in (changes.red, changes.blue)]
    said = changes.red.inside("sudo udhcpc -n -q -t 5 -i eth0 -s /bin/true", changes.world)
    assert f"lease of {INNER}.10 obtained" in said
    wait_for(lambda: cloud.leaks().returncode == 0, 60, "nothing leaked")


def are_others(before: dict[str, list[int]], after: dict[str, list[int]], names: list[str]) -> bool:
    """Whether everything runs, and of these names other processes than before; each DHCP server is the audit's."""
    return before.keys() == after.keys() and all(not set(before[name]) & set(after[name]) for name in names)


def test_a_router_that_somebody_damaged_is_told_of_and_mended(cloud: Cloud, world: World, red: Tenant) -> None:
    """`leaks --repair`, or the host by itself before it; both end with a guest that can be reached."""
    networks.damage(cloud, red)
    done = cloud.leaks("--repair")
    assert done.returncode == 0, done.stdout
    assert world.ssh(red.address, "hostname", seconds=20) == "red\n"


def test_nothing_stays_of_a_tenant_who_leaves(cloud: Cloud, both: tuple[Tenant, Tenant]) -> None:
    for each in both:
        each.clear()
    wait_for(lambda: not [s for t in both for s in networks.places(cloud, t)], 30, "namespaces are gone")
    assert cloud.leaks().returncode == 0
