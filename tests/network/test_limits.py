"""One resource holds so many of each and no more: made with one too many, and changed to it; with as many it passes."""

import uuid
from collections.abc import Callable
from typing import Any

import pytest

from api.network.model.limits import LIMITS
from tests.network.conftest import Api

Json = dict[str, Any]


def ips(count: int) -> list[str]:
    return [f"10.0.{number // 250}.{number % 250 + 1}" for number in range(count)]


def routes(count: int) -> list[Json]:
    return [{"destination": f"10.50.{number}.0/24", "nexthop": "10.0.0.9"} for number in range(count)]


def pools(count: int) -> list[Json]:
    return [{"start": ip, "end": ip} for ip in (f"10.0.0.{2 * number + 10}" for number in range(count))]


UNABLE = "Unable to complete operation for {}. The number of "
Case = tuple[str, str, str, Callable[[int], Any], str, str]
CASES: list[Case] = [
    # attribute, collection, member, so many of them, the error's type and its words ({}: the resource)
    ("dns_nameservers", "subnets", "subnet", ips, "DNSNameServersExhausted", f"{UNABLE}DNS nameservers exceeds"),
    ("host_routes", "subnets", "subnet", routes, "HostRoutesExhausted", f"{UNABLE}host routes exceeds the limit 20"),
    ("allocation_pools", "subnets", "subnet", pools, "InvalidInput", "more than 100 allocation pools"),
    (
        "service_types",
        "subnets",
        "subnet",
        lambda count: [f"compute:{number}" for number in range(count)],
        "InvalidInput",
        "more than 50 service types",
    ),
    (
        "allowed_address_pairs",
        "ports",
        "port",
        lambda count: [{"ip_address": ip} for ip in ips(count)],
        "AllowedAddressPairExhausted",
        "The number of allowed address pair exceeds the maximum 10",
    ),
    (
        "fixed_ips",
        "ports",
        "port",
        lambda count: [{"subnet_id": "SUBNET"}] * count,
        "InvalidInput",
        "Exceeded maximum amount of fixed ips per port.",
    ),
    (
        "tags",
        "ports",
        "port",
        lambda count: [f"tag{number}" for number in range(count)],
        "BadRequest",
        "Bad port request: The number of tags exceed the per-resource limit of 50.",
    ),
    (
        "binding:profile",
        "ports",
        "port",
        lambda count: {"a": "x" * (count - len('{"a": ""}'))},
        "InvalidInput",
        "binding:profile value too large",
    ),
    (
        "prefixes",
        "subnetpools",
        "subnetpool",
        lambda count: [f"10.{number}.0.0/17" for number in range(count)],
        "InvalidInput",
        "more than 200 prefixes in a subnet pool",
    ),
    (
        "addresses",
        "address-groups",
        "address_group",
        lambda count: [f"{ip}/32" for ip in ips(count)],
        "InvalidInput",
        "more than 500 addresses in an address group",
    ),
]


@pytest.fixture
def room(demo: Api) -> Json:
    network = demo.network()
    return {"network": network["id"], "subnet": demo.subnet(network, "10.0.0.0/20")["id"]}


def _base(member: str, room: Json) -> Json:
    if member == "subnet":
        return {"network_id": room["network"], "ip_version": 4, "cidr": "10.0.0.0/20", "gateway_ip": "10.0.0.1"}
    return {"network_id": room["network"]} if member == "port" else {"name": "limits"}


def _with(value: Any, room: Json) -> Any:
    """`value` with the subnet that was made for it."""
    if isinstance(value, list) and {"subnet_id": "SUBNET"} in value:
        return [{"subnet_id": room["subnet"]}] * len(value)
    return value


@pytest.mark.parametrize(("name", "collection", "member", "many", "kind", "words"), CASES, ids=lambda v: str(v)[:20])
def test_lists_of_a_resource(
    admin: Api,
    demo: Api,
    room: Json,
    name: str,
    collection: str,
    member: str,
    many: Callable[[int], Any],
    kind: str,
    words: str,
) -> None:
    most, api = LIMITS[name].most, admin if name == "binding:profile" else demo
    base = _base(member, {**room, "network": demo.network()["id"]} if member == "subnet" else room)
    refused = api.post(f"/{collection}", member, 400, **base, **{name: _with(many(most + 1), room)})
    assert refused["type"] == kind and words.format("new subnet") in refused["message"]
    made = api.post(f"/{collection}", member, **base, **{name: _with(many(most), room)})
    path = f"/{collection}/{made['id']}"
    if name in ("tags", "addresses"):
        return  # changed below other routes
    again = api.put(path, member, 400, **{name: _with(many(most + 1), room)})
    assert again["type"] == kind and words.format(made["id"]) in again["message"]
    assert api.get(path)[member] == made, "what was refused left nothing"


def test_one_more_of_what_is_added_by_itself(demo: Api, room: Json) -> None:
    port = demo.post("/ports", "port", network_id=room["network"])
    assert demo.http.put(f"/ports/{port['id']}/tags", json={"tags": [f"t{n}" for n in range(50)]}).status_code == 200
    assert demo.http.put(f"/ports/{port['id']}/tags/t49").status_code == 201, "it has this one"
    assert "limit of 50" in demo.http.put(f"/ports/{port['id']}/tags/more").json()["NeutronError"]["message"]
    group = demo.post("/address-groups", "address_group", addresses=[f"{ip}/32" for ip in ips(500)])
    more = demo.http.put(f"/address-groups/{group['id']}/add_addresses", json={"addresses": ["10.9.9.9/32"]})
    assert (more.status_code, more.json()["NeutronError"]["type"]) == (400, "InvalidInput")


def test_routes_of_a_router(demo: Api, room: Json) -> None:
    router = demo.post("/routers", "router")
    plugged = demo.http.put(f"/routers/{router['id']}/add_router_interface", json={"subnet_id": room["subnet"]})
    assert plugged.status_code == 200
    path = f"/routers/{router['id']}"
    refused = demo.put(path, "router", 400, routes=routes(31))
    assert refused["type"] == "RoutesExhausted"
    assert refused["message"] == (
        f"Unable to complete operation for {router['id']}. The number of routes exceeds the maximum 30."
    )
    assert len(demo.put(path, "router", routes=routes(30))["routes"]) == 30
    more = demo.http.put(f"{path}/add_extraroutes", json={"router": {"routes": routes(31)[30:]}})
    assert more.json()["NeutronError"]["type"] == "RoutesExhausted"


def test_zone_hints(demo: Api) -> None:
    for collection, member in (("networks", "network"), ("routers", "router")):
        refused = demo.post(f"/{collection}", member, 400, availability_zone_hints=["nova"] * 21)
        assert "more than 20 availability zone hints" in refused["message"]


def test_groups_of_a_port(admin: Api, demo: Api, room: Json) -> None:
    many = [str(uuid.uuid4()) for _ in range(51)]
    port = demo.post("/ports", "port", 400, network_id=room["network"], security_groups=many)
    assert "more than 50 security groups of a port" in port["message"]
    few = demo.post("/ports", "port", 404, network_id=room["network"], security_groups=many[:50])
    assert few["type"] == "SecurityGroupNotFound"


def test_port_forwardings_of_an_address(admin: Api, demo: Api, room: Json, provider: Callable[..., Json]) -> None:
    outside = provider(shared=False)
    admin.subnet(outside, "203.0.113.0/24")
    router = demo.post("/routers", "router", external_gateway_info={"network_id": outside["id"]})
    demo.http.put(f"/routers/{router['id']}/add_router_interface", json={"subnet_id": room["subnet"]})
    port = demo.post("/ports", "port", network_id=room["network"])
    address = demo.post("/floatingips", "floatingip", floating_network_id=outside["id"])
    path = f"/floatingips/{address['id']}/port_forwardings"
    body = {
        "internal_port_id": port["id"],
        "protocol": "tcp",
        "internal_ip_address": port["fixed_ips"][0]["ip_address"],
    }
    most = LIMITS["port_forwardings"].most
    for number in range(most + 1):
        numbers = {"external_port": 3000 + number, "internal_port": 3000 + number}
        made = demo.http.post(path, json={"port_forwarding": body | numbers})
        assert made.status_code == (201 if number < most else 400), made.text
    assert f"more than {most} port forwardings" in made.json()["NeutronError"]["message"]


def test_every_limit_is_shown_here() -> None:
    alone = {"routes", "availability_zone_hints", "security_groups", "port_forwardings"}
    assert {case[0] for case in CASES} | alone == set(LIMITS)
