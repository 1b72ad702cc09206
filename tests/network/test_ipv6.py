"""IPv6 subnets: modes, addresses that hosts make themselves, ports of both families."""

from typing import Any

import pytest

from tests.network.conftest import Api

Json = dict[str, Any]


def v6(api: Api, network: Json, mode: str | None, cidr: str = "fd00:1::/64", **attributes: Any) -> Json:
    modes = {"ipv6_ra_mode": mode, "ipv6_address_mode": mode} if mode else {}
    body = {"network_id": network["id"], "ip_version": 6, "cidr": cidr, **modes, **attributes}
    return api.post("/subnets", "subnet", **body)


def ips(port: Json) -> set[str]:
    return {fixed["ip_address"] for fixed in port["fixed_ips"]}


def test_defaults_of_a_subnet(demo: Api) -> None:
    made = v6(demo, demo.network(), None, "FD00:1::5/64")
    assert (made["cidr"], made["gateway_ip"], made["ip_version"]) == ("fd00:1::/64", "fd00:1::1", 6)
    assert made["allocation_pools"] == [{"start": "fd00:1::2", "end": "fd00:1::ffff:ffff:ffff:ffff"}]
    assert made["ipv6_ra_mode"] is None and made["ipv6_address_mode"] is None
    linked = v6(demo, demo.network(), "slaac", gateway_ip="fe80::1")
    assert linked["gateway_ip"] == "fe80::1"


def test_stateful_and_both_families(demo: Api) -> None:
    network = demo.network()
    demo.subnet(network)
    v6(demo, network, "dhcpv6-stateful")
    assert ips(demo.port(network)) == {"10.1.0.2", "fd00:1::2"}
    assert ips(demo.port(network, fixed_ips=[{"ip_address": "fd00:1::beef"}])) == {"fd00:1::beef"}
    error = demo.post("/ports", "port", 409, network_id=network["id"], fixed_ips=[{"ip_address": "FD00:1::BEEF"}])
    assert error["type"] == "IpAddressAlreadyAllocated"


@pytest.mark.parametrize("mode", ["slaac", "dhcpv6-stateless"])
def test_hosts_make_their_own_addresses(admin: Api, demo: Api, mode: str) -> None:
    network = demo.network()
    early = demo.port(network, mac_address="fa:16:3e:00:00:01")
    assert ips(early) == set()
    subnet = v6(demo, network, mode)
    path = f"/ports/{early['id']}"
    assert ips(demo.get(path)["port"]) == {"fd00:1::f816:3eff:fe00:1"}, "ports that are there already get theirs"
    port = demo.port(network, mac_address="fa:16:3e:00:00:02", fixed_ips=[])
    assert ips(port) == {"fd00:1::f816:3eff:fe00:2"}, "so do ports that ask for none"
    moved = admin.put(path, "port", mac_address="fa:16:3e:00:00:03")
    assert ips(moved) == {"fd00:1::f816:3eff:fe00:3"}
    chosen = [{"subnet_id": subnet["id"], "ip_address": "fd00:1::7"}]
    error = demo.post("/ports", "port", 400, network_id=network["id"], fixed_ips=chosen)
    assert error["type"] == "AllocationOnAutoAddressSubnet"
    assert ips(demo.put(path, "port", fixed_ips=[])) == {"fd00:1::f816:3eff:fe00:3"}
    demo.delete(f"/subnets/{subnet['id']}")
    assert ips(demo.get(path)["port"]) == set(), "addresses that hosts made go with their subnet"


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"ipv6_ra_mode": "slaac", "ipv6_address_mode": "dhcpv6-stateful"}, "they must be the same value"),
        ({"ipv6_ra_mode": "slaac", "enable_dhcp": False}, "cannot be set when enable_dhcp is set to False"),
        ({"ipv6_address_mode": "slaac", "cidr": "fd00:1::/80"}, "requires the prefix to be /64"),
        ({"ip_version": 4, "cidr": "10.0.0.0/24", "ipv6_ra_mode": "slaac"}, "not valid when ip_version is 4"),
        ({"cidr": "10.0.0.0/24"}, "does not match the ip_version '6'"),
        ({"gateway_ip": "10.0.0.1"}, "does not match the ip_version '6'"),
        ({"dns_nameservers": ["10.0.0.1"]}, "does not match the ip_version '6'"),
        ({"host_routes": [{"destination": "10.0.0.0/8", "nexthop": "fd00:1::9"}]}, "does not match"),
        ({"cidr": "::/64"}, "IPv6 subnet '::' is not supported"),
        ({"cidr": "fd00:1::/127"}, "incompatible with DHCP"),
        ({"cidr": "ff02::/64"}, "Multicast"),
    ],
)
def test_modes_that_make_no_sense(anyone: Api, attributes: Json, words: str) -> None:
    body = {"network_id": anyone.network()["id"], "ip_version": 6, "cidr": "fd00:1::/64", **attributes}
    error = anyone.post("/subnets", "subnet", 400, **body)
    assert error["type"] == "InvalidInput" and words in error["message"]


def test_a_router_serves_both_families_on_one_network(demo: Api) -> None:
    network = demo.network()
    four = demo.subnet(network)
    six, more = v6(demo, network, "slaac"), v6(demo, network, "slaac", "fd00:2::/64")
    router = demo.post("/routers", "router", name="r")
    path = f"/routers/{router['id']}"
    ports = [
        demo.http.put(f"{path}/add_router_interface", json={"subnet_id": one["id"]}).json() for one in (four, six, more)
    ]
    assert ports[0]["port_id"] != ports[1]["port_id"] == ports[2]["port_id"], "one port has all IPv6 prefixes"
    shared = demo.get(f"/ports/{ports[1]['port_id']}")["port"]
    assert ips(shared) == {"fd00:1::1", "fd00:2::1"}
    gone = demo.http.put(f"{path}/remove_router_interface", json={"subnet_id": more["id"]})
    assert gone.json()["subnet_ids"] == [more["id"]]
    assert ips(demo.get(f"/ports/{ports[1]['port_id']}")["port"]) == {"fd00:1::1"}
    assert demo.delete(f"/subnets/{six['id']}", 409)["type"] == "SubnetInUse"


def test_rules_of_both_families_reach_hosts(demo: Api, service: Api) -> None:
    network = demo.network()
    demo.subnet(network)
    v6(demo, network, "slaac")
    port = demo.port(network, allowed_address_pairs=[{"ip_address": "fd00:9::/64"}])
    service.put(f"/ports/{port['id']}", "port", **{"binding:host_id": "host-v6"})
    body = service.get("/kilonova/topology", host="host-v6")
    members = body["sets"][f"group:{demo.default_group()['id']}"]
    assert {f"{ip}/{32 if '.' in ip else 128}" for ip in ips(port)} | {"fd00:9::/64"} == set(members)
    service.put(f"/ports/{port['id']}", "port", **{"binding:host_id": ""})


def test_dhcp_of_an_ipv6_subnet_cannot_be_switched_off(demo: Api) -> None:
    subnet = v6(demo, demo.network(), "slaac")
    error = demo.put(f"/subnets/{subnet['id']}", "subnet", 400, enable_dhcp=False)
    assert "Cannot disable enable_dhcp with ipv6 attributes set" in error["message"]
