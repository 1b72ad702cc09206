"""Routers, their gateways, interfaces and routes, in the order in which tenants build and take down."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.network.conftest import Api

Json = dict[str, Any]
Make = Callable[..., Json]


@pytest.fixture
def outside(provider: Make, admin: Api) -> Json:
    network = provider(shared=False)
    admin.subnet(network, "203.0.113.0/24")
    return network


def act(api: Api, router: Json, action: str, status: int = 200, /, **body: Any) -> Any:
    answer = api.http.put(f"/routers/{router['id']}/{action}", json=body)
    assert answer.status_code == status, answer.text
    return answer.json() if status == 200 else answer.json()["NeutronError"]


def test_a_router_and_its_gateway(admin: Api, demo: Api, outside: Json) -> None:
    made = demo.post("/routers", "router", name="r", description="d", tags=["blue"])
    assert made["external_gateway_info"] is None and made["routes"] == [] and made["tags"] == ["blue"]
    path = f"/routers/{made['id']}"
    out = demo.put(path, "router", external_gateway_info={"network_id": outside["id"]})["external_gateway_info"]
    assert out["network_id"] == outside["id"] and out["enable_snat"] is True
    (fixed,) = out["external_fixed_ips"]
    assert fixed["ip_address"] == "203.0.113.2"
    (port,) = admin.get("/ports", device_id=made["id"])["ports"]
    assert (port["device_owner"], port["project_id"]) == ("network:router_gateway", "")
    assert demo.get("/ports", device_id=made["id"])["ports"] == [], "a gateway's port is not the tenant's to see"
    chosen = {"network_id": outside["id"], "external_fixed_ips": [{"ip_address": "203.0.113.77"}]}
    refused = demo.put(path, "router", 403, external_gateway_info=chosen)
    assert refused["message"] == "rule:update_router:external_gateway_info:external_fixed_ips is disallowed by policy"
    plain = {**chosen, "enable_snat": False}
    shown = admin.put(path, "router", external_gateway_info=plain)["external_gateway_info"]
    assert shown["enable_snat"] is False and shown["external_fixed_ips"][0]["ip_address"] == "203.0.113.77"
    same = {"network_id": outside["id"], "external_fixed_ips": [{"ip_address": "203.0.113.1"}]}
    assert "is the same as the gateway IP" in admin.put(path, "router", 400, external_gateway_info=same)["message"]
    assert demo.put(path, "router", external_gateway_info={})["external_gateway_info"] is None
    assert admin.get("/ports", device_id=made["id"])["ports"] == []
    demo.delete(path)
    assert demo.get(path, 404)["NeutronError"]["message"] == f"Router {made['id']} could not be found"


def test_gateways_that_make_no_sense(demo: Api, outside: Json) -> None:
    inner = demo.network()
    error = demo.post("/routers", "router", 400, external_gateway_info={"network_id": inner["id"]})
    assert error["message"] == f"Bad router request: Network {inner['id']} is not an external network."
    unknown = {"network_id": "00000000-0000-4000-8000-000000000000"}
    assert demo.post("/routers", "router", 404, external_gateway_info=unknown)["type"] == "NetworkNotFound"
    overlapping = demo.subnet(inner, "203.0.113.0/25")
    router = demo.post("/routers", "router", external_gateway_info={"network_id": outside["id"]})
    error = act(demo, router, "add_router_interface", 400, subnet_id=overlapping["id"])
    assert "overlaps with cidr" in error["message"]


def test_interfaces_by_subnet_and_by_port(demo: Api, other: Api) -> None:
    router = demo.post("/routers", "router", name="r")
    one, two = demo.network(), demo.network()
    first, second = demo.subnet(one, "10.1.0.0/24"), demo.subnet(two, "10.2.0.0/24")
    made = act(demo, router, "add_router_interface", subnet_id=first["id"])
    assert made["id"] == router["id"] and made["subnet_ids"] == [first["id"]] and made["network_id"] == one["id"]
    port = demo.get(f"/ports/{made['port_id']}")["port"]
    assert port["device_owner"] == "network:router_interface" and port["fixed_ips"][0]["ip_address"] == "10.1.0.1"
    own = demo.port(two, fixed_ips=[{"ip_address": "10.2.0.9"}])
    assert act(demo, router, "add_router_interface", port_id=own["id"])["port_id"] == own["id"]
    again = act(demo, router, "add_router_interface", 400, subnet_id=second["id"])
    assert again["message"] == f"Bad router request: Router already has a port on subnet {second['id']}."
    assert act(demo, router, "add_router_interface", 409, port_id=own["id"])["type"] == "PortInUse"
    clash = demo.subnet(demo.network(), "10.1.0.128/25")
    assert "overlaps" in act(demo, router, "add_router_interface", 400, subnet_id=clash["id"])["message"]
    bare = demo.subnet(demo.network(), "10.3.0.0/24", gateway_ip=None)
    assert "must have a gateway IP" in act(demo, router, "add_router_interface", 400, subnet_id=bare["id"])["message"]
    assert "must be specified" in act(demo, router, "add_router_interface", 400)["message"]
    both = act(demo, router, "add_router_interface", 400, subnet_id=first["id"], port_id=own["id"])
    assert "Cannot specify both" in both["message"]
    act(other, router, "add_router_interface", 404, subnet_id=first["id"])
    assert demo.delete(f"/routers/{router['id']}", 409)["message"] == f"Router {router['id']} still has ports"
    direct = demo.delete(f"/ports/{own['id']}", 409)
    assert direct["type"] == "ServicePortInUse"
    assert demo.put(f"/ports/{own['id']}", "port", 400, fixed_ips=[{"ip_address": "10.2.0.10"}])["type"] == (
        "IPAddressChangeNotAllowed"
    )
    assert demo.delete(f"/subnets/{first['id']}", 409)["type"] == "SubnetInUse"
    assert demo.put(f"/subnets/{first['id']}", "subnet", 409, gateway_ip=None)["type"] == "GatewayIpInUse"
    act(demo, router, "remove_router_interface", subnet_id=first["id"])
    act(demo, router, "remove_router_interface", port_id=own["id"])
    missing = act(demo, router, "remove_router_interface", 404, subnet_id=first["id"])
    assert missing["type"] == "RouterInterfaceNotFoundForSubnet"
    assert act(demo, router, "remove_router_interface", 404, port_id=own["id"])["type"] == "RouterInterfaceNotFound"
    demo.get(f"/ports/{own['id']}", 404)
    demo.delete(f"/routers/{router['id']}")


def test_nobody_makes_himself_part_of_a_router(demo: Api) -> None:
    router, network = demo.post("/routers", "router", name="r"), demo.network()
    part = {"device_id": router["id"], "device_owner": "network:router_interface"}
    error = demo.post("/ports", "port", 409, network_id=network["id"], **part)
    assert error["type"] == "DeviceIDNotOwnedByTenant"
    port = demo.port(network)
    assert demo.put(f"/ports/{port['id']}", "port", 409, **part)["type"] == "DeviceIDNotOwnedByTenant"


def test_routes(demo: Api) -> None:
    router, network = demo.post("/routers", "router", name="r"), demo.network()
    subnet = demo.subnet(network)
    act(demo, router, "add_router_interface", subnet_id=subnet["id"])
    path = f"/routers/{router['id']}"
    near, far = ({"destination": f"10.{n}.0.0/16", "nexthop": "10.1.0.9"} for n in (8, 9))
    assert demo.put(path, "router", routes=[near])["routes"] == [near]
    added = act(demo, router, "add_extraroutes", router={"routes": [near, far]})["router"]
    assert added["routes"] == [near, far], "the one that is there already is not doubled"
    taken = act(demo, router, "remove_extraroutes", router={"routes": [near, near]})["router"]
    assert taken["routes"] == [far]
    for hop, reason in (("192.0.2.1", "not connected with router"), ("10.1.0.1", "is used by router")):
        error = demo.put(path, "router", 400, routes=[{"destination": "10.9.0.0/16", "nexthop": hop}])
        assert error["type"] == "InvalidRoutes" and reason in error["message"]
    assert act(demo, router, "remove_router_interface", 409, subnet_id=subnet["id"])["type"] == (
        "RouterInterfaceInUseByRoute"
    )
    many = [{"destination": f"10.8.{n}.0/24", "nexthop": "10.1.0.9"} for n in range(31)]
    demo.put(path, "router", 400, routes=many)
    assert demo.put(path, "router", routes=[])["routes"] == []


def test_writers_of_routes_do_not_undo_each_other(demo: Api) -> None:
    router, network = demo.post("/routers", "router", name="r"), demo.network()
    act(demo, router, "add_router_interface", subnet_id=demo.subnet(network)["id"])
    routes = [{"destination": f"10.9.{n}.0/24", "nexthop": "10.1.0.9"} for n in range(20)]
    with ThreadPoolExecutor(10) as pool:
        list(pool.map(lambda route: act(demo, router, "add_extraroutes", router={"routes": [route]}), routes))
    shown = demo.get(f"/routers/{router['id']}")["router"]["routes"]
    assert sorted(route["destination"] for route in shown) == sorted(route["destination"] for route in routes)


def test_another_projects_subnet_takes_no_interface(admin: Api, demo: Api) -> None:
    shared = admin.network(shared=True)
    subnet = admin.subnet(shared)
    router = demo.post("/routers", "router", name="r")
    error = act(demo, router, "add_router_interface", 400, subnet_id=subnet["id"])
    assert "not owned by project making the request" in error["message"]


def test_quota_and_revision(admin: Api, demo: Api) -> None:
    admin.put(f"/quotas/{demo.project_id}", "quota", router=1)
    router = demo.post("/routers", "router", name="r")
    assert demo.post("/routers", "router", 409, name="s")["type"] == "OverQuota"
    headers = {"If-Match": "revision_number=999"}
    for answer in (
        demo.http.put(f"/routers/{router['id']}", json={"router": {"name": "x"}}, headers=headers),
        demo.http.put(f"/routers/{router['id']}/add_router_interface", json={}, headers=headers),
        demo.http.delete(f"/routers/{router['id']}", headers=headers),
    ):
        assert answer.status_code in (400, 412)
        assert answer.status_code == 412, answer.text
