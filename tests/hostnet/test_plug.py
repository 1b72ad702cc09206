"""Plugging, DHCP, unplugging and self-repair with real bridges, dnsmasq and DHCP clients."""

import os
import signal
import subprocess
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from infra.hostnet import dhcp, links, netns, served, store
from infra.hostnet.models import FixedIp, HostNetInventory, HostRoute
from infra.hostnet.netns import HostNetworkError
from infra.hostnet.network import HostNetwork
from infra.hostnet.segment import Segments, own_bridge
from tests.hostnet.conftest import Host, StandIn, filters, ingress, ip, pings, reaches
from tests.hostnet.routed import network


def resolve(guest: StandIn, name: str) -> str:
    command = ["busybox", "nslookup", "-type=a", name, "10.9.0.1"]
    done = netns.call(
        guest.ns, lambda: subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    )
    return done.stdout


def test_dhcp_gives_each_port_its_address_and_options(host: Host, tmp_path: Path) -> None:
    route = HostRoute(destination="192.0.2.0/24", nexthop="10.9.0.254")
    fixed = FixedIp(
        ip_address="10.9.0.11", subnet_id=host.subnet_id, cidr="10.9.0.0/24", gateway_ip="10.9.0.1", host_routes=[route]
    )
    guest = host.boot(host.port(11, fixed_ips=[fixed], mtu=1450, hostname="Web-1"), configured=False)
    lease = guest.dhcp(tmp_path)
    assert lease["ip"] == "10.9.0.11"
    assert lease["mask"] == "24"
    assert lease["router"] == lease["dns"] == "10.9.0.1"
    assert lease["mtu"] == "1450"
    assert lease["hostname"] == "web-1"
    assert lease["staticroutes"] == "192.0.2.0/24 10.9.0.254 0.0.0.0/0 10.9.0.1"
    host.net.apply_groups([filters(guest.plug)], {})
    assert pings(guest.ns, "10.9.0.1", 5)
    assert "10.9.0.11" in resolve(guest, "web-1")


def test_dhcp_keeps_answering_as_ports_come_and_go(host: Host, tmp_path: Path) -> None:
    one = host.boot(host.port(11), configured=False)
    assert one.dhcp(tmp_path)["ip"] == "10.9.0.11"
    served = host.net.describe().networks
    two = host.boot(host.port(12), configured=False)
    assert two.dhcp(tmp_path)["ip"] == "10.9.0.12"
    assert host.net.describe().networks == served, "the same dnsmasq"
    stray = StandIn(host.ns, host.port(13), f"br-{host.network_id[:11]}")
    host.guests.append(stray)
    assert stray.dhcp(tmp_path, tries=1) == {}


def test_an_address_given_back_serves_another_port_at_once(host: Host, tmp_path: Path) -> None:
    keeper, old = host.boot(host.port(10)), host.boot(host.port(11), configured=False)
    assert old.dhcp(tmp_path)["ip"] == "10.9.0.11"
    host.net.unplug(old.plug.port_id)
    again = host.boot(host.port(11, mac_address="fa:16:3e:00:00:99"), configured=False)
    assert again.dhcp(tmp_path)["ip"] == "10.9.0.11"
    assert sorted(host.net.describe().reservations) == sorted([keeper.plug.port_id, again.plug.port_id])


@pytest.mark.parametrize("hostname", ["ignore", "infinite", "60", "1h", "a,b", "x\nfa:16:3e:00:00:66,10.9.0.66", ""])
def test_a_host_name_cannot_change_the_reservation(host: Host, tmp_path: Path, hostname: str) -> None:
    guest = host.boot(host.port(11, hostname=hostname), configured=False)
    lease = guest.dhcp(tmp_path)
    assert lease["ip"] == "10.9.0.11"
    assert lease["lease"] == str(served.LEASE_S)
    assert "hostname" not in lease


def test_no_dhcp_where_somebody_else_serves_it(make_host: Callable[..., Host]) -> None:
    outside = make_host(lab_gateway=False)
    outside.net.plug(outside.port(11))
    assert outside.net.describe().networks == {}
    assert links.snapshot(outside.ns)[f"br-{outside.network_id[:11]}"].addresses == frozenset()
    host = make_host()
    fixed = host.port(11).fixed_ips[0].model_copy(update={"enable_dhcp": False})
    host.net.plug(host.port(11, fixed_ips=[fixed]))
    assert host.net.describe().networks == {}


def test_unplug_leaves_nothing_and_may_be_repeated(host: Host) -> None:
    one, two = host.boot(host.port(11)), host.boot(host.port(12))
    first = host.net.describe()
    assert first.ports == {g.plug.port_id: g.plug.instance_id for g in (one, two)}
    assert first.taps == first.filters == sorted([one.plug.tap, two.plug.tap])
    assert first.bridges == [f"br-{host.network_id[:11]}"]
    assert list(first.networks) == [host.network_id]
    for _ in range(2):
        host.net.unplug(one.plug.port_id)
    left = host.net.describe()
    assert left.taps == left.filters == [two.plug.tap]
    assert left.reservations == [two.plug.port_id]
    host.net.unplug(two.plug.port_id)
    host.net.unplug(str(uuid.uuid4()))
    assert host.net.describe() == HostNetInventory(gateways=True)
    assert links.snapshot(host.ns).keys() == {"lo"}
    assert not list(host.net._store.run.glob("*/*.json")) + list(host.net._store.run.glob("dhcp/*"))
    assert host.net.sync() == []


def test_plugging_twice_is_the_same(host: Host) -> None:
    plug = host.port(11)
    host.net.plug(plug)
    once, links_once = host.net.describe(), links.snapshot(host.ns)
    HostNetwork(host.settings).plug(plug)
    assert host.net.describe() == once
    assert links.snapshot(host.ns) == links_once


def test_a_port_plugged_into_another_network_leaves_the_first(host: Host) -> None:
    plug = host.port(11)
    host.net.plug(plug)
    moved = plug.model_copy(update={"network_id": "0000beef-0000-4000-8000-000000000000"})
    host.net.plug(moved)
    assert host.net.describe().bridges == ["br-0000beef-00"]
    assert list(host.net.describe().networks) == [moved.network_id]


def test_a_killed_dnsmasq_and_a_removed_bridge_come_back(host: Host, tmp_path: Path) -> None:
    guest = host.boot(host.port(11), configured=False)
    assert host.net.sync() == []
    os.kill(host.net.describe().networks[host.network_id], signal.SIGKILL)
    while host.net.describe().networks:
        time.sleep(0.01)
    assert host.net.sync() == [f"bridge br-{host.network_id[:11]}"]
    assert guest.dhcp(tmp_path)["ip"] == "10.9.0.11"
    ip(host.ns, "link", "delete", f"br-{host.network_id[:11]}")
    assert host.net.sync()
    assert guest.dhcp(tmp_path)["ip"] == "10.9.0.11"
    ip(host.home, "address", "delete", "10.9.0.1/24", "dev", "net0")
    assert host.net.sync()
    assert "10.9.0.1/24" in links.snapshot(host.home)["net0"].addresses


def test_a_tap_that_libvirt_is_still_making_is_left_to_it(host: Host) -> None:
    """Mechanism: libvirt makes a tap, puts it into its bridge (EBUSY where somebody did so before) and then sets it up:
    a repair in between, or the plugging of another port, failed the guest's start."""
    plug, bridge = host.port(11), f"br-{host.network_id[:11]}"
    host.net.plug(plug)
    ip(host.ns, "tuntap", "add", plug.tap, "mode", "tap")
    assert host.net.sync() == []
    host.net.plug(host.port(12))
    assert links.snapshot(host.ns)[plug.tap].master == ""
    ip(host.ns, "link", "set", plug.tap, "up")
    assert host.net.sync() == [f"bridge {bridge}"]
    assert links.snapshot(host.ns)[plug.tap].master == bridge


def test_everything_comes_back_from_the_port_files_as_after_a_reboot(host: Host) -> None:
    host.net.plug(host.port(11))
    before = host.net.describe()
    host.net.teardown()
    assert "namespace" in host.net.sync()[0]
    after = HostNetwork(host.settings).describe()
    assert after.model_copy(update={"networks": before.networks}) == before
    assert after.networks.keys() == before.networks.keys()


def test_what_a_killed_unplug_left_is_finished_by_the_next_call(host: Host) -> None:
    guest = host.boot(host.port(11))
    host.net._store.drop_port(guest.plug.port_id)
    host.net.unplug(guest.plug.port_id)
    assert host.net.describe() == HostNetInventory(gateways=True)


def test_plugs_and_unplugs_at_the_same_time_end_in_order(host: Host) -> None:
    plugs = [host.port(n, network_id=f"{n % 2:08}-0000-4000-8000-000000000000") for n in range(11, 23)]

    def cycle(number: int) -> None:
        net = HostNetwork(host.settings) if number % 3 else host.net
        for _ in range(3):
            net.plug(plugs[number])
            net.unplug(plugs[number].port_id)
        if number % 4 == 0:
            net.plug(plugs[number])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(cycle, range(len(plugs))))
    stay = plugs[::4]
    found = host.net.describe()
    assert sorted(found.ports) == sorted(found.reservations) == sorted(p.port_id for p in stay)
    assert found.filters == sorted(p.tap for p in stay)
    assert found.networks.keys() == {p.network_id for p in stay}
    assert host.net.sync() == []


def test_teardown_leaves_no_namespace_process_or_file(host: Host) -> None:
    host.boot(host.port(11))
    pids = host.net.describe().networks.values()
    host.net.teardown()
    assert not netns.path(host.ns).exists()
    assert dhcp.processes(host.net._store.run) == {}
    assert not any(Path(f"/proc/{pid}/cmdline").read_bytes() for pid in pids if Path(f"/proc/{pid}/cmdline").exists())
    assert not host.net._store.run.exists()
    host.net.teardown()


def test_a_physical_network_without_mapping_or_bridge_is_refused_and_leaves_nothing(host: Host) -> None:
    with pytest.raises(HostNetworkError, match="mappings"):
        host.net.plug(host.port(11, physical_network="nowhere"))
    assert host.net.describe() == HostNetInventory(gateways=True)


def test_on_a_host_of_its_own_only_our_things_are_touched(make_host: Callable[..., Host], tmp_path: Path) -> None:
    lab = make_host()
    lab.net.ensure_namespace()
    ip(lab.ns, "link", "add", "br-provider", "type", "bridge")
    ip(lab.ns, "address", "add", "203.0.113.5/24", "dev", "br-provider")
    netns.run(lab.ns, ["nft", "-f", "-"], "add table inet theirs\nadd chain inet theirs c\n")
    before = links.snapshot(lab.ns)
    settings = lab.settings.model_copy(update={"netns": "", "lab_gateway": False, "state_dir": tmp_path / "other"})
    plug = lab.port(11, physical_network="provider")

    def body() -> None:
        net = HostNetwork(settings)
        try:
            net.plug(plug)
            assert net.describe().bridges == []
            assert net.sync() == []
            assert links.snapshot("")["br-provider"].addresses == {"203.0.113.5/24"}
            with pytest.raises(HostNetworkError, match="br-missing"):
                missing = settings.model_copy(update={"bridge_mappings": {"provider": "br-missing"}, "host": "h9"})
                HostNetwork(missing).plug(plug)
            net.unplug(plug.port_id)
            assert net.describe() == HostNetInventory()
            assert "kilonova_" + store.Store(settings).tag not in netns.run("", ["nft", "list", "tables"])
        finally:
            net.teardown()

    netns.call(lab.ns, body)
    assert links.snapshot(lab.ns) == before
    assert "theirs" in netns.run(lab.ns, ["nft", "list", "tables"])


def test_a_port_lies_on_the_bridge_that_its_binding_names(make_host: Callable[..., Host]) -> None:
    """In the machine's own network that bridge must exist, as nobody but who named it knows where it leads."""
    host = make_host()
    one, two = (host.port(n, bridge_name="br-theirs") for n in (11, 12))
    guests = [host.boot(plug, bridge="br-theirs") for plug in (one, two)]
    guests[1].listen(80)
    host.net.apply_groups([filters(g.plug, ingress("tcp", 80)) for g in guests], {})
    assert reaches(guests[0].ns, guests[1].address, 80)
    assert host.net.bind(one).bridge == "br-theirs" and "br-theirs" in host.net.describe().bridges
    host.net.sync()
    assert host.net.sync() == []
    with pytest.raises(ValueError, match="not the name of an interface"):
        host.port(13, bridge_name="br0; reboot")
    segments = Segments(host.settings.model_copy(update={"netns": ""}), host.net._store)
    networks = [network("theirs", "10.9.0.0/24")]
    for name, made_here in (("br-theirs", False), (own_bridge(networks[0].id), True)):
        assert segments._wanted(name, [], networks).create == made_here
