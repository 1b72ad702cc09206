from typing import Any

import pytest

from tests.network.conftest import Api


def test_defaults(demo: Api) -> None:
    network = demo.network()
    made = demo.subnet(network, "10.9.0.0/24")
    assert made["gateway_ip"] == "10.9.0.1" and made["enable_dhcp"] is True and made["ip_version"] == 4
    assert made["allocation_pools"] == [{"start": "10.9.0.2", "end": "10.9.0.254"}]
    assert demo.get(f"/networks/{network['id']}")["network"]["subnets"] == [made["id"]]
    middle = demo.subnet(network, "10.9.1.0/29", gateway_ip="10.9.1.3")
    assert middle["allocation_pools"] == [
        {"start": "10.9.1.1", "end": "10.9.1.2"},
        {"start": "10.9.1.4", "end": "10.9.1.6"},
    ]
    assert demo.subnet(network, "10.99.99.0/16")["cidr"] == "10.99.0.0/16", "host bits are dropped"
    beyond = demo.subnet(network, "10.8.0.0/29", gateway_ip="10.7.0.1")
    assert beyond["allocation_pools"] == [{"start": "10.8.0.1", "end": "10.8.0.6"}]
    none = demo.subnet(network, "10.9.2.0/29", gateway_ip=None)
    assert none["gateway_ip"] is None and none["allocation_pools"] == [{"start": "10.9.2.1", "end": "10.9.2.6"}]


@pytest.mark.parametrize(
    ("attributes", "status", "kind"),
    [
        ({"cidr": "nonsense"}, 400, "HTTPBadRequest"),
        ({"cidr": None}, 400, "BadRequest"),
        ({"cidr": "fd00::/64"}, 400, "InvalidInput"),
        ({"ip_version": 5}, 400, "HTTPBadRequest"),
        ({"cidr": "224.0.0.0/24"}, 400, "InvalidInput"),
        ({"cidr": "127.0.0.0/24"}, 400, "InvalidInput"),
        ({"cidr": "0.0.0.0/0"}, 400, "InvalidInput"),
        ({"cidr": "10.0.0.1/32"}, 400, "InvalidInput"),
        ({"gateway_ip": "10.0.0.255"}, 400, "InvalidInput"),
        ({"gateway_ip": "fd00::1"}, 400, "InvalidInput"),
        ({"allocation_pools": [{"start": "10.0.0.9", "end": "10.0.0.2"}]}, 400, "InvalidAllocationPool"),
        ({"allocation_pools": [{"start": "10.0.0.9", "end": "10.0.1.2"}]}, 400, "OutOfBoundsAllocationPool"),
        ({"allocation_pools": [{"start": "10.0.0.1", "end": "10.0.0.9"}]}, 409, "GatewayConflictWithAllocationPools"),
        (
            {"allocation_pools": [{"start": "10.0.0.2", "end": "10.0.0.9"}, {"start": "10.0.0.9", "end": "10.0.0.20"}]},
            409,
            "OverlappingAllocationPools",
        ),
        ({"dns_nameservers": ["8.8.8.8.8"]}, 400, "HTTPBadRequest"),
        ({"host_routes": [{"destination": "10.5.0.0/24"}]}, 400, "HTTPBadRequest"),
        ({"colour": "red"}, 400, "HTTPBadRequest"),
    ],
)
def test_subnets_that_make_no_sense(anyone: Api, attributes: dict[str, Any], status: int, kind: str) -> None:
    network = anyone.network()
    body = {"network_id": network["id"], "ip_version": 4, "cidr": "10.0.0.0/24", **attributes}
    assert anyone.post("/subnets", "subnet", status, **body)["type"] == kind
    assert anyone.get("/subnets", network_id=network["id"])["subnets"] == []


def test_overlap_within_a_network(demo: Api) -> None:
    network = demo.network()
    demo.subnet(network, "10.0.0.0/16")
    error = demo.post("/subnets", "subnet", 400, network_id=network["id"], ip_version=4, cidr="10.0.3.0/24")
    assert error["type"] == "InvalidInput" and "overlaps" in error["message"]
    demo.subnet(demo.network(), "10.0.0.0/16")


def test_update_and_its_limits(demo: Api) -> None:
    network = demo.network()
    made = demo.subnet(network, "10.0.0.0/24", allocation_pools=[{"start": "10.0.0.10", "end": "10.0.0.20"}])
    path = f"/subnets/{made['id']}"
    changed = demo.put(path, "subnet", dns_nameservers=["1.1.1.1"], gateway_ip="10.0.0.2", name="n")
    assert (changed["dns_nameservers"], changed["gateway_ip"], changed["name"]) == (["1.1.1.1"], "10.0.0.2", "n")
    assert demo.put(path, "subnet", 409, gateway_ip="10.0.0.12")["type"] == "GatewayConflictWithAllocationPools"
    demo.port(network, fixed_ips=[{"ip_address": "10.0.0.3"}])
    assert demo.put(path, "subnet", 409, gateway_ip="10.0.0.3")["type"] == "GatewayIpInUse"
    assert "read-only" in demo.put(path, "subnet", 400, cidr="10.0.0.0/25")["message"]
    assert demo.put(path, "subnet", gateway_ip=None)["gateway_ip"] is None


def test_in_use_while_ports_have_addresses(demo: Api) -> None:
    network = demo.network()
    subnet = demo.subnet(network)
    port = demo.port(network)
    assert demo.delete(f"/subnets/{subnet['id']}", 409)["type"] == "SubnetInUse"
    demo.delete(f"/ports/{port['id']}")
    demo.delete(f"/subnets/{subnet['id']}")


def test_only_a_networks_owner_makes_subnets(admin: Api, demo: Api, other: Api) -> None:
    shared = admin.network(shared=True)
    body = {"network_id": shared["id"], "ip_version": 4, "cidr": "10.0.0.0/24"}
    assert demo.post("/subnets", "subnet", 403, **body)["type"] == "PolicyNotAuthorized"
    subnet = admin.subnet(shared)
    assert demo.get(f"/subnets/{subnet['id']}")["subnet"]["cidr"] == "10.1.0.0/24"
    assert demo.delete(f"/subnets/{subnet['id']}", 403)["type"] == "PolicyNotAuthorized"
    body["network_id"] = demo.network()["id"]
    assert other.post("/subnets", "subnet", 404, **body)["type"] == "NetworkNotFound"


def test_subnets_of_external_networks_are_seen(admin: Api, demo: Api) -> None:
    outside = admin.network(**{"router:external": True})
    subnet = admin.subnet(outside, "203.0.113.0/24")
    assert demo.get(f"/subnets/{subnet['id']}")["subnet"]["cidr"] == "203.0.113.0/24"
    for value, seen in (("true", True), ("false", False)):
        listed = demo.get("/subnets", network_id=outside["id"], **{"router:external": value})["subnets"]
        assert bool(listed) is seen
    assert demo.put(f"/subnets/{subnet['id']}", "subnet", 403, name="x")["type"] == "PolicyNotAuthorized"
