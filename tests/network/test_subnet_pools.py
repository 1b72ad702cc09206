"""Subnet pools and address scopes: allocation by length and by prefix, quotas, overlaps; checked with random pools."""

import random
from ipaddress import ip_network
from typing import Any

import pytest

from api.network.model.pools import first_free
from tests.network.conftest import Api

Json = dict[str, Any]


def pool(api: Api, *prefixes: str, status: int = 201, **attributes: Any) -> Any:
    body = {"name": "p", "prefixes": list(prefixes), **attributes}
    return api.post("/subnetpools", "subnetpool", status, **body)


def allocate(api: Api, source: Json, status: int = 201, /, **attributes: Any) -> Any:
    body = {"network_id": api.network()["id"], "ip_version": 4, "subnetpool_id": source["id"], **attributes}
    return api.post("/subnets", "subnet", status, **body)


def test_defaults_and_bounds(demo: Api) -> None:
    made = pool(demo, "10.64.1.0/24", "10.64.0.0/24")
    assert made["prefixes"] == ["10.64.0.0/23"] and made["ip_version"] == 4
    assert (made["min_prefixlen"], made["default_prefixlen"], made["max_prefixlen"]) == ("8", "8", "32")
    six = pool(demo, "fd00::/48")
    assert (six["min_prefixlen"], six["max_prefixlen"], six["ip_version"]) == ("64", "128", 6)
    for prefixes, attributes, kind in (
        ((), {}, "EmptySubnetPoolPrefixList"),
        (("10.0.0.0/8", "fd00::/48"), {}, "PrefixVersionMismatch"),
        (("10.0.0.0/8",), {"min_prefixlen": 25, "max_prefixlen": 24}, "IllegalSubnetPoolPrefixBounds"),
        (("10.0.0.0/8",), {"default_prefixlen": 4}, "IllegalSubnetPoolPrefixBounds"),
        (("10.0.0.0/8",), {"max_prefixlen": 33}, "IllegalSubnetPoolPrefixBounds"),
    ):
        assert pool(demo, *prefixes, status=400, **attributes)["type"] == kind


def test_allocation_by_length_and_by_prefix(demo: Api) -> None:
    made = pool(demo, "10.64.0.0/22", default_prefixlen=24, min_prefixlen=23, max_prefixlen=26)
    first = allocate(demo, made)
    assert (first["cidr"], first["subnetpool_id"]) == ("10.64.0.0/24", made["id"])
    assert first["gateway_ip"] == "10.64.0.1"
    assert allocate(demo, made, prefixlen=26)["cidr"] == "10.64.1.0/26"
    assert allocate(demo, made, cidr="10.64.3.0/24")["cidr"] == "10.64.3.0/24"
    assert allocate(demo, made, prefixlen=24)["cidr"] == "10.64.2.0/24"
    for status, attributes, kind in (
        (409, {"cidr": "10.64.3.0/25"}, "SubnetAllocationError"),
        (409, {"cidr": "10.65.0.0/24"}, "SubnetAllocationError"),
        (409, {"prefixlen": 24}, "SubnetAllocationError"),
        (400, {"prefixlen": 22}, "MinPrefixSubnetAllocationError"),
        (400, {"prefixlen": 27}, "MaxPrefixSubnetAllocationError"),
        (400, {"ip_version": 6}, "BadRequest"),
        (400, {"cidr": "10.64.1.128/26", "prefixlen": 26}, "BadRequest"),
    ):
        assert allocate(demo, made, status, **attributes)["type"] == kind, attributes
    error = demo.post("/subnets", "subnet", 400, network_id=demo.network()["id"], ip_version=4)
    assert error["message"] == "Bad subnets request: a subnetpool must be specified in the absence of a cidr."
    assert demo.delete(f"/subnetpools/{made['id']}", 400)["type"] == "SubnetPoolDeleteError"
    demo.delete(f"/subnets/{first['id']}")
    assert allocate(demo, made)["cidr"] == "10.64.0.0/24", "a freed prefix is given again"


def test_a_projects_share_of_a_pool(admin: Api, demo: Api) -> None:
    made = pool(admin, "10.80.0.0/16", shared=True, default_prefixlen=24, default_quota=512)
    assert demo.get(f"/subnetpools/{made['id']}")["subnetpool"]["shared"] is True
    allocate(demo, made)
    allocate(demo, made)
    assert allocate(demo, made, 409)["type"] == "SubnetPoolQuotaExceeded"
    allocate(admin, made)
    assert pool(demo, "10.0.0.0/8", status=403, shared=True)["type"] == "PolicyNotAuthorized"


def test_one_network_takes_one_pool(demo: Api) -> None:
    network, made = demo.network(), pool(demo, "10.64.0.0/16", default_prefixlen=24)
    demo.subnet(network, "10.1.0.0/24")
    body = {"network_id": network["id"], "ip_version": 4, "subnetpool_id": made["id"]}
    assert demo.post("/subnets", "subnet", 400, **body)["type"] == "NetworkSubnetPoolAffinityError"


def test_prefixes_are_added_and_taken(demo: Api) -> None:
    made = pool(demo, "10.64.0.0/24", default_prefixlen=26)
    path = f"/subnetpools/{made['id']}"
    added = demo.http.put(f"{path}/add_prefixes", json={"prefixes": ["10.70.0.0/24"]})
    assert added.json() == {"prefixes": ["10.64.0.0/24", "10.70.0.0/24"]}
    allocate(demo, made, cidr="10.70.0.0/26")
    taken = demo.http.put(f"{path}/remove_prefixes", json={"prefixes": ["10.70.0.0/24"]})
    assert taken.status_code == 400 and taken.json()["NeutronError"]["type"] == "IllegalSubnetPoolPrefixUpdate"
    left = demo.http.put(f"{path}/remove_prefixes", json={"prefixes": ["10.64.0.0/24"]})
    assert left.json() == {"prefixes": ["10.70.0.0/24"]}
    assert demo.put(path, "subnetpool", 400, prefixes=["10.71.0.0/24"])["type"] == "IllegalSubnetPoolPrefixUpdate"
    assert demo.put(path, "subnetpool", prefixes=["10.70.0.0/16"])["prefixes"] == ["10.70.0.0/16"]


def test_scopes_keep_pools_apart(demo: Api, other: Api) -> None:
    scope = demo.post("/address-scopes", "address_scope", name="s", ip_version="4")  # as Ansible writes it
    assert scope["ip_version"] == 4
    first = pool(demo, "10.64.0.0/16", address_scope_id=scope["id"])
    assert pool(demo, "10.64.9.0/24", status=409, address_scope_id=scope["id"])["type"] == "AddressScopePrefixConflict"
    error = pool(demo, "fd00::/48", status=400, address_scope_id=scope["id"])
    assert error["type"] == "IllegalSubnetPoolIpVersionAssociationToAddressScope"
    assert pool(other, "10.0.0.0/8", status=404, address_scope_id=scope["id"])["type"] == "AddressScopeNotFound"
    subnet = allocate(demo, first, prefixlen=24)
    network = demo.get(f"/networks/{subnet['network_id']}")["network"]
    assert (network["ipv4_address_scope"], network["ipv6_address_scope"]) == (scope["id"], None)
    assert demo.delete(f"/address-scopes/{scope['id']}", 409)["type"] == "AddressScopeInUse"


def test_a_default_pool_of_each_version(admin: Api, demo: Api) -> None:
    assert pool(demo, "10.0.0.0/8", status=403, is_default=True)["type"] == "PolicyNotAuthorized"
    body = {"network_id": demo.network()["id"], "ip_version": 6, "use_default_subnetpool": True}
    assert "No default subnetpool" in demo.post("/subnets", "subnet", 400, **body)["message"]
    made = pool(admin, "fd00:64::/48", is_default=True, shared=True)
    assert pool(admin, "fd00:65::/48", status=400, is_default=True)["type"] == "InvalidInput"
    assert demo.post("/subnets", "subnet", **body)["cidr"] == "fd00:64::/64"
    body["network_id"] = demo.network()["id"]
    subnets = admin.get("/subnets", subnetpool_id=made["id"])["subnets"]
    for subnet in subnets:
        admin.delete(f"/subnets/{subnet['id']}")
    admin.delete(f"/subnetpools/{made['id']}")


@pytest.mark.parametrize("seed", range(40))
def test_random_allocations_never_overlap_and_use_all_room(seed: int) -> None:
    """Against a plain search of every prefix of the wanted length."""
    chance = random.Random(seed)
    prefix = ip_network("10.0.0.0/24") if seed % 2 else ip_network("fd00::/120")
    taken: list[Any] = []
    for _ in range(60):
        length = chance.randint(prefix.prefixlen, prefix.max_prefixlen)
        found = first_free(prefix, taken, length)
        free = [one for one in prefix.subnets(new_prefix=length) if not any(one.overlaps(other) for other in taken)]
        assert found == (free[0] if free else None)
        if found:
            taken.append(found)
        if taken and chance.random() < 0.3:
            taken.remove(chance.choice(taken))
