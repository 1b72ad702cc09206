"""Floating addresses and port forwardings."""

from collections.abc import Callable
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


@pytest.fixture
def inside(demo: Api, outside: Json) -> Json:
    """A network with a subnet behind a router with a gateway; `router` is its id, `subnet` its subnet's."""
    network = demo.network()
    subnet = demo.subnet(network)
    router = demo.post("/routers", "router", external_gateway_info={"network_id": outside["id"]})
    answer = demo.http.put(f"/routers/{router['id']}/add_router_interface", json={"subnet_id": subnet["id"]})
    assert answer.status_code == 200
    return {**network, "router": router["id"], "subnet": subnet["id"]}


def floating(api: Api, outside: Json, status: int = 201, /, **attributes: Any) -> Json:
    made: Json = api.post("/floatingips", "floatingip", status, floating_network_id=outside["id"], **attributes)
    return made


def test_associate_move_disassociate_delete(admin: Api, demo: Api, outside: Json, inside: Json) -> None:
    made = floating(demo, outside, tags=["x"])
    assert made["port_id"] is None and made["status"] == "DOWN" and made["tags"] == ["x"]
    assert made["floating_ip_address"].startswith("203.0.113.")
    (port,) = admin.get("/ports", device_owner="network:floatingip", device_id=made["id"])["ports"]
    assert port["project_id"] == "" and admin.delete(f"/ports/{port['id']}", 409)["type"] == "ServicePortInUse"
    one, two = demo.port(inside, name="one"), demo.port(inside)
    path = f"/floatingips/{made['id']}"
    led = demo.put(path, "floatingip", port_id=one["id"])
    assert (led["router_id"], led["fixed_ip_address"]) == (inside["router"], one["fixed_ips"][0]["ip_address"])
    assert led["port_details"]["name"] == "one"
    assert demo.put(path, "floatingip", port_id=two["id"])["port_id"] == two["id"]
    assert demo.get("/floatingips", port_id=two["id"])["floatingips"][0]["id"] == made["id"]
    second = floating(demo, outside)
    error = demo.put(f"/floatingips/{second['id']}", "floatingip", 409, port_id=two["id"])
    assert error["type"] == "FloatingIPPortAlreadyAssociated"
    demo.delete(f"/ports/{two['id']}")
    assert demo.get(path)["floatingip"]["port_id"] is None, "a port that goes lets its address go"
    demo.put(path, "floatingip", port_id=one["id"])
    unchanged = demo.put(path, "floatingip", description="kept")
    assert unchanged["port_id"] == one["id"] and unchanged["description"] == "kept"
    demo.delete(path)
    assert demo.get(path, 404)["NeutronError"]["message"] == f"Floating IP {made['id']} could not be found"
    assert admin.get("/ports", id=port["id"])["ports"] == []


def test_addresses_that_lead_nowhere_go_with_their_network(
    admin: Api, demo: Api, outside: Json, inside: Json, provider: Make
) -> None:
    unused, used = floating(demo, outside), floating(demo, outside)
    port = demo.port(inside)
    demo.put(f"/floatingips/{used['id']}", "floatingip", port_id=port["id"])
    assert admin.delete(f"/networks/{outside['id']}", 409)["type"] == "NetworkInUse"
    assert demo.get(f"/floatingips/{unused['id']}"), "nothing is half deleted"
    other = provider(shared=False)
    admin.subnet(other, "198.51.100.0/24")
    gone = floating(demo, other)
    admin.delete(f"/networks/{other['id']}")
    demo.get(f"/floatingips/{gone['id']}", 404)


def test_an_address_of_choice(admin: Api, demo: Api, outside: Json) -> None:
    refused = floating(demo, outside, 403, floating_ip_address="203.0.113.50")
    assert refused["message"] == "rule:create_floatingip:floating_ip_address is disallowed by policy"
    made = floating(admin, outside, floating_ip_address="203.0.113.50", project_id=demo.project_id)
    assert made["floating_ip_address"] == "203.0.113.50" and made["project_id"] == demo.project_id
    taken = floating(admin, outside, 409, floating_ip_address="203.0.113.50")
    assert taken["type"] == "IpAddressAlreadyAllocated"
    second = admin.subnet(outside, "198.51.100.0/24")
    assert floating(demo, outside, subnet_id=second["id"])["floating_ip_address"].startswith("198.51.100.")
    assert "not a valid external network" in floating(demo, demo.network(), 400)["message"]


def test_refusals(demo: Api, other: Api, outside: Json, inside: Json) -> None:
    lonely = demo.network()
    demo.subnet(lonely, "10.5.0.0/24")
    unreachable = floating(demo, outside, 404, port_id=demo.port(lonely)["id"])
    assert unreachable["type"] == "ExternalGatewayForFloatingIPNotFound"
    bare = demo.port(inside, fixed_ips=[])
    assert "has no fixed IPv4 addresses" in floating(demo, outside, 400, port_id=bare["id"])["message"]
    several = demo.port(inside, fixed_ips=[{"subnet_id": inside["subnet"]}, {"subnet_id": inside["subnet"]}])
    assert "multiple fixed IPv4 addresses" in floating(demo, outside, 400, port_id=several["id"])["message"]
    ip = several["fixed_ips"][1]["ip_address"]
    made = floating(demo, outside, port_id=several["id"], fixed_ip_address=ip)
    assert made["fixed_ip_address"] == ip
    assert "without a port_id" in floating(demo, outside, 400, fixed_ip_address=ip)["message"]
    kept = demo.put(f"/ports/{several['id']}", "port", 400, fixed_ips=[{"ip_address": "10.1.0.200"}])
    assert "has been associated to a floating ip" in kept["message"]
    router = f"/routers/{inside['router']}"
    error = demo.put(router, "router", 409, external_gateway_info=None)
    assert error["type"] == "RouterExternalGatewayInUseByFloatingIp"
    answer = demo.http.put(f"{router}/remove_router_interface", json={"subnet_id": inside["subnet"]})
    assert answer.status_code == 409
    assert answer.json()["NeutronError"]["type"] == "RouterInterfaceInUseByFloatingIP"
    other.get(f"/floatingips/{made['id']}", 404)
    floating(other, outside, 404, port_id=several["id"])


def test_a_routers_own_port_gets_one_and_dhcps_does_not(admin: Api, demo: Api, outside: Json, inside: Json) -> None:
    """What answers below 10.1.0.1 is the router itself; nothing of a DHCP server is reached from outside."""
    (own,) = demo.get("/ports", device_id=inside["router"])["ports"]
    made = floating(demo, outside, port_id=own["id"])
    assert (made["router_id"], made["fixed_ip_address"]) == (inside["router"], own["fixed_ips"][0]["ip_address"])
    router = f"/routers/{inside['router']}"
    answer = demo.http.put(f"{router}/remove_router_interface", json={"port_id": own["id"]})
    assert answer.json()["NeutronError"]["type"] == "RouterInterfaceInUseByFloatingIP"
    assert demo.put(f"/floatingips/{made['id']}", "floatingip", port_id=None)["router_id"] is None
    assert demo.http.put(f"{router}/remove_router_interface", json={"port_id": own["id"]}).status_code == 200
    dhcp = admin.port(inside, device_owner="network:dhcp", project_id=demo.project_id)
    refused = floating(demo, outside, 400, port_id=dhcp["id"])
    assert f"Port {dhcp['id']} is unable to be assigned a floating IP" in refused["message"]


def forward(api: Api, address: Json, status: int = 201, /, **attributes: Any) -> Any:
    body = {"protocol": "tcp", **attributes}
    return api.post(f"/floatingips/{address['id']}/port_forwardings", "port_forwarding", status, **body)


def test_port_forwardings(demo: Api, service: Api, outside: Json, inside: Json) -> None:
    address, guest, second = floating(demo, outside), demo.port(inside), demo.port(inside)
    ip = guest["fixed_ips"][0]["ip_address"]
    to = {"internal_port_id": guest["id"], "internal_ip_address": ip}
    made = forward(demo, address, external_port=2222, internal_port=22, **to, description="ssh")
    assert (made["external_port"], made["internal_port"], made["description"]) == (2222, 22, "ssh")
    several = forward(demo, address, external_port_range="8000:8009", internal_port_range="80:89", **to)
    assert (several["external_port"], several["external_port_range"]) == (None, "8000:8009")
    forward(demo, address, external_port=2222, internal_port=53, internal_port_id=second["id"], protocol="UDP")
    for attributes, words in (
        ({"external_port": 8005, "internal_port": 9, **to}, "port collision with the external_port_range"),
        ({"external_port": 9, "internal_port": 85, **to}, "port collision with the internal_port_range"),
        ({"external_port_range": "1:3", "internal_port_range": "1:2", **to}, "must be N-N or 1-N"),
        ({"external_port": 9, **to}, "Either internal_port or internal_port_range"),
        ({"external_port": 9, "internal_port": 9, **to, "internal_ip_address": "10.1.0.250"}, "is not suitable"),
    ):
        assert words in forward(demo, address, 400, **attributes)["message"]
    for wrong in ({"external_port": 0}, {"external_port": 70000}, {"external_port_range": "9:3"}, {"protocol": "icmp"}):
        forward(demo, address, 400, **{"internal_port": 1, "external_port": 1, **to, **wrong})
    path = f"/floatingips/{address['id']}/port_forwardings"
    assert len(demo.get(path)["port_forwardings"]) == 3
    assert [one["id"] for one in demo.get(path, protocol="udp")["port_forwardings"]] != []
    changed = demo.put(f"{path}/{made['id']}", "port_forwarding", external_port=2223)
    assert changed["external_port"] == 2223 and changed["internal_port"] == 22
    shown = demo.get(f"/floatingips/{address['id']}")["floatingip"]
    assert shown["router_id"] == inside["router"] and len(shown["port_forwardings"]) == 3
    busy = demo.put(f"/floatingips/{address['id']}", "floatingip", 409, port_id=guest["id"])
    assert busy["type"] == "FipInUseByPortForwarding"
    twice = floating(demo, outside, 400, port_id=guest["id"])
    assert twice["type"] == "PortHasPortForwarding"
    demo.delete(f"{path}/{made['id']}")
    assert demo.get(f"{path}/{made['id']}", 404)["NeutronError"]["type"] == "PortForwardingNotFound"
    demo.delete(f"/ports/{guest['id']}")
    assert len(demo.get(path)["port_forwardings"]) == 1, "what leads to a port goes with it"
    demo.delete(f"/ports/{second['id']}")
    assert demo.get(f"/floatingips/{address['id']}")["floatingip"]["router_id"] is None


def test_forwardings_reach_the_routers_host(demo: Api, service: Api, outside: Json, inside: Json) -> None:
    host = f"host-{inside['id'][:8]}"
    mapping = {"bridge_mappings": {outside["provider:physical_network"]: "br-x"}}
    assert service.http.put(f"/kilonova/hosts/{host}", json=mapping).status_code == 204
    address, guest = floating(demo, outside), demo.port(inside)
    made = forward(demo, address, external_port_range="90:91", internal_port=22, internal_port_id=guest["id"])
    routers = service.get("/kilonova/topology", host=host)["routers"]
    (router,) = [one for one in routers if one["id"] == inside["router"]]
    assert router["floating_ips"] == []
    assert router["port_forwardings"] == [
        {
            "id": made["id"],
            "floatingip_id": address["id"],
            "floating_ip_address": address["floating_ip_address"],
            "protocol": "tcp",
            "internal_ip_address": guest["fixed_ips"][0]["ip_address"],
            "internal_port_id": guest["id"],
            "external_port": None,
            "external_port_range": "90:91",
            "internal_port": 22,
            "internal_port_range": "22:22",
        }
    ]
