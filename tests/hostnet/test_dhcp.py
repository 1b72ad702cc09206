"""What DHCP and router advertisements tell guests, and how changes reach them."""

import json
import time
from pathlib import Path

import pytest

from infra.hostnet import netns
from infra.hostnet.models import FilterAddress, HostRoute
from infra.hostnet.spaces import eui64
from infra.hostnet.topology import Network, NetworkPort, RouterAddress, RouterPort, Subnet
from tests.hostnet.conftest import Host, StandIn, filters, ingress, ip
from tests.hostnet.dhcp6 import dhcp6
from tests.hostnet.routed import identity, mac, network, router

SIX = "2001:db8:6::"
MODES = ["slaac", "dhcpv6-stateless", "dhcpv6-stateful"]


def boot(host: Host, told: Network, *addresses: str) -> StandIn:
    """A guest without addresses, on a network whose DHCP this host answers with its port in it."""
    fixed = [FilterAddress(ip_address=a, subnet_id=s.id) for a, s in zip(addresses, told.subnets, strict=True)]
    plug = host.port(11, network_id=told.id, fixed_ips=[], mac_address=mac("guest"), hostname="guest-11")
    port = NetworkPort(id=plug.port_id, mac_address=plug.mac_address, fixed_ips=fixed, hostname="guest-11")
    host.net.ensure_network(told.model_copy(update={"serves_dhcp": True, "ports": [port, *told.ports]}))
    guest = host.boot(plug, configured=False)
    known = filters(plug, ingress(None)).model_copy(update={"fixed_ips": fixed})
    host.net.apply_groups([known], {})
    return guest


def told_again(host: Host, told: Network, guest: StandIn, **changes: object) -> None:
    kept = host.net._store.own_network(told.id)
    assert kept
    host.net.ensure_network(Network.model_validate(kept.network.model_dump() | changes))


def test_a_subnet_without_a_gateway_is_served_all_the_same(host: Host, tmp_path: Path) -> None:
    told = network("alone", "10.3.0.0/24")
    lonely = told.subnets[0].model_copy(update={"gateway_ip": None})
    guest = boot(host, told.model_copy(update={"subnets": [lonely], "dns_domain": "cloud.example."}), "10.3.0.11")
    lease = guest.dhcp(tmp_path)
    assert lease["ip"] == "10.3.0.11" and "router" not in lease
    assert lease["staticroutes"] == "169.254.169.254/32 0.0.0.0"
    assert lease["domain"] == "cloud.example"


def test_what_changes_later_reaches_a_guest_that_asks_again(host: Host, tmp_path: Path) -> None:
    told = network("red", "10.3.0.0/24")
    guest = boot(host, told, "10.3.0.11")
    first = guest.dhcp(tmp_path)
    assert first["dns"] == "10.3.0.1" and first["mtu"] == "1500"
    served = host.net.describe().networks
    route = HostRoute(destination="192.0.2.0/24", nexthop="10.3.0.254")
    subnet = told.subnets[0].model_copy(update={"dns_nameservers": ["192.0.2.53"], "host_routes": [route]})
    told_again(host, told, guest, subnets=[subnet.model_dump()], mtu=1400)
    ip(guest.ns, "address", "flush", "dev", "eth0")
    second = guest.dhcp(tmp_path)
    assert second["dns"] == "192.0.2.53" and second["mtu"] == "1400"
    assert second["staticroutes"].startswith("192.0.2.0/24 10.3.0.254")
    assert host.net.describe().networks == served, "the same dnsmasq, which read its files again"
    port = host.net._store.own_network(told.id).network.ports[0]  # type: ignore[union-attr]
    moved = port.model_copy(update={"fixed_ips": [FilterAddress(ip_address="10.3.0.12", subnet_id=subnet.id)]})
    told_again(host, told, guest, ports=[moved.model_dump()])
    ip(guest.ns, "address", "flush", "dev", "eth0")
    assert guest.dhcp(tmp_path)["ip"] == "10.3.0.12"


def six(mode: str, name: str = "six") -> Network:
    more = {"ipv6_ra_mode": mode, "ipv6_address_mode": mode, "dns_nameservers": [f"{SIX}53"]}
    subnet = Subnet(id=identity(f"subnet {name}"), cidr=f"{SIX}/64", ip_version=6, gateway_ip=f"{SIX}1", **more)
    return Network(id=identity(name), name=name, subnets=[subnet])


def addresses(guest: StandIn) -> set[str]:
    shown = json.loads(netns.run(guest.ns, ["ip", "-6", "-j", "address", "show", "dev", "eth0", "scope", "global"]))
    found = [a for link in shown for a in link.get("addr_info", []) if "local" in a]
    return {a["local"] for a in found if not a.get("tentative")}


def configured(guest: StandIn, wanted: str, seconds: float = 6) -> bool:
    end = time.monotonic() + seconds
    while wanted not in addresses(guest) and time.monotonic() < end:
        time.sleep(0.05)
    return wanted in addresses(guest)


def default_route(guest: StandIn) -> str:
    end = time.monotonic() + 15  # a solicitation that met a bridge without a carrier comes again after 4 s
    while not (shown := netns.run(guest.ns, ["ip", "-6", "route", "show", "default"])) and time.monotonic() < end:
        time.sleep(0.05)
    return shown


def listen_for_routers(guest: StandIn) -> None:
    values = {f"ipv6/conf/{name}/{what}": "1" for name in ("all", "eth0") for what in ("accept_ra", "autoconf")}
    netns.sysctl(guest.ns, values)
    ip(guest.ns, "link", "set", "eth0", "down")
    ip(guest.ns, "link", "set", "eth0", "up")


def own_address(hardware: str) -> str:
    return eui64(f"{SIX}/64", hardware)


@pytest.mark.parametrize("mode", MODES)
def test_ipv6_by_each_mode_from_the_networks_own_gateway(host: Host, mode: str) -> None:
    told = six(mode)
    auto = own_address(mac("guest"))
    guest = boot(host, told, auto if mode != "dhcpv6-stateful" else f"{SIX}11")
    listen_for_routers(guest)
    assert "via fe80::" in default_route(guest)
    assert configured(guest, auto, 6 if mode != "dhcpv6-stateful" else 1) == (mode != "dhcpv6-stateful")
    assert "1500" in netns.run(guest.ns, ["cat", "/proc/sys/net/ipv6/conf/eth0/mtu"])
    leased = dhcp6(guest)
    assert (f"{SIX}11" in leased) == (mode == "dhcpv6-stateful")
    assert (f"{SIX}53" in leased) == (mode != "slaac")


@pytest.mark.parametrize("mode", MODES)
def test_ipv6_by_each_mode_behind_a_router(host: Host, mode: str) -> None:
    told = six(mode)
    hop = RouterPort(
        port_id=identity("router six"),
        network_id=told.id,
        mac_address=mac("router six"),
        fixed_ips=[RouterAddress(ip_address=f"{SIX}1", subnet_id=told.subnets[0].id, prefixlen=64)],
    )
    entry = NetworkPort(
        id=hop.port_id,
        mac_address=hop.mac_address,
        fixed_ips=[FilterAddress(ip_address=f"{SIX}1", subnet_id=told.subnets[0].id)],
    )
    auto = own_address(mac("guest"))
    guest = boot(host, told.model_copy(update={"ports": [entry]}), auto if mode != "dhcpv6-stateful" else f"{SIX}11")
    host.net.ensure_router(router("six").model_copy(update={"interfaces": [hop]}))
    listen_for_routers(guest)
    gate = eui64("fe80::/64", mac("router six"))
    assert f"via {gate}" in default_route(guest), "the router, and nobody else"
    assert configured(guest, auto, 6 if mode != "dhcpv6-stateful" else 1) == (mode != "dhcpv6-stateful")
    assert (f"{SIX}11" in dhcp6(guest)) == (mode == "dhcpv6-stateful")
