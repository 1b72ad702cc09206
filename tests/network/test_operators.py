"""What operators look at: agents, zones, addresses in use; and the topology that projects get by themselves."""

import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from api.network.model import hosts
from tests.network.conftest import Api

Json = dict[str, Any]


def report(service: Api, **attributes: Any) -> str:
    host = f"host-{uuid.uuid4().hex[:8]}"
    assert service.http.put(f"/kilonova/hosts/{host}", json=attributes).status_code == 204
    return host


def test_agents_are_hosts_that_report(admin: Api, service: Api, demo: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    host = report(service, tunnel_ip="10.255.0.7", bridge_mappings={"provider": "br-x"})
    (agent,) = admin.get("/agents", host=host)["agents"]
    assert agent["alive"] is True and agent["admin_state_up"] is True
    assert agent["configurations"]["tunneling_ip"] == "10.255.0.7"
    path = f"/agents/{agent['id']}"
    assert admin.get(path)["agent"]["host"] == host
    assert admin.put(path, "agent", description="rack 7")["description"] == "rack 7"
    assert [one["id"] for one in admin.get("/agents", alive="true", host=host)["agents"]] == [agent["id"]]
    monkeypatch.setattr(hosts, "SILENT_AFTER", timedelta(0))
    assert admin.get(path)["agent"]["alive"] is False
    assert admin.get("/agents", alive="true", host=host)["agents"] == []
    assert admin.get("/availability_zones")["availability_zones"] == []
    monkeypatch.undo()
    zones = demo.get("/availability_zones")["availability_zones"]
    assert {(zone["name"], zone["resource"], zone["state"]) for zone in zones} == {
        ("nova", "network", "available"),
        ("nova", "router", "available"),
    }
    assert demo.get("/agents")["agents"] == []
    assert demo.get(path, 404)["NeutronError"]["type"] == "HTTPNotFound"
    admin.get("/agents", 400, colour="red")
    admin.delete(path)
    assert admin.get(path, 404)["NeutronError"]["type"] == "AgentNotFound"


def test_a_host_that_is_switched_off_gets_no_router(
    admin: Api, service: Api, demo: Api, provider: Callable[..., Json]
) -> None:
    outside = provider(shared=False)
    admin.subnet(outside, "203.0.113.0/24")
    host = report(service, bridge_mappings={outside["provider:physical_network"]: "br-x"})
    (agent,) = admin.get("/agents", host=host)["agents"]
    admin.put(f"/agents/{agent['id']}", "agent", admin_state_up=False)
    made = demo.post("/routers", "router", external_gateway_info={"network_id": outside["id"]})
    assert made["status"] == "DOWN" and made["availability_zones"] == []
    admin.put(f"/agents/{agent['id']}", "agent", admin_state_up=True)
    shown = demo.get(f"/routers/{made['id']}")["router"]
    assert shown["status"] == "BUILD" and shown["availability_zones"] == ["nova"]


def test_zone_hints(service: Api, demo: Api) -> None:
    report(service)
    assert demo.network(availability_zone_hints=["nova"])["availability_zone_hints"] == ["nova"]
    assert demo.post("/routers", "router", availability_zone_hints=["nova"])["availability_zone_hints"] == ["nova"]
    error = demo.post("/networks", "network", 404, availability_zone_hints=["mars"])
    assert error["type"] == "AvailabilityZoneNotFound"


def test_addresses_in_use(admin: Api, demo: Api) -> None:
    network = demo.network(name="n")
    subnet = demo.subnet(network, "10.1.0.0/29")
    demo.port(network)
    (shown,) = admin.get("/network-ip-availabilities", network_id=network["id"])["network_ip_availabilities"]
    assert (shown["used_ips"], shown["total_ips"], shown["network_name"]) == (1, 5, "n")
    assert shown["subnet_ip_availability"] == [
        {
            "subnet_id": subnet["id"],
            "subnet_name": "",
            "cidr": "10.1.0.0/29",
            "ip_version": 4,
            "used_ips": 1,
            "total_ips": 5,
        }
    ]
    path = f"/network-ip-availabilities/{network['id']}"
    assert admin.get(path)["network_ip_availability"] == shown
    none = admin.get("/network-ip-availabilities", network_id=network["id"], ip_version=6)
    assert none["network_ip_availabilities"] == []
    assert demo.get("/network-ip-availabilities")["network_ip_availabilities"] == []
    assert demo.get(path, 404)["NeutronError"]["type"] == "HTTPNotFound"


def test_names_that_dhcp_serves(demo: Api) -> None:
    network = demo.network(dns_domain="cloud.example.")
    demo.subnet(network)
    named, other = demo.port(network, dns_name="web"), demo.port(network)
    assert named["dns_assignment"] == [{"ip_address": "10.1.0.2", "hostname": "web", "fqdn": "web.cloud.example."}]
    assert other["dns_assignment"][0]["fqdn"] == "host-10-1-0-3.cloud.example."
    demo.post("/networks", "network", 400, dns_domain="not a domain")
    demo.post("/ports", "port", 400, network_id=network["id"], dns_name="not.a.label")


def test_a_topology_by_itself(admin: Api, demo: Api, other: Api, provider: Callable[..., Json]) -> None:
    path = "/auto-allocated-topology/null"
    assert demo.get(path, 409)["NeutronError"]["type"] == "AutoAllocationFailure"
    outside = provider(shared=False, is_default=True)
    second = {"provider:network_type": "flat", "provider:physical_network": "phys-2", "is_default": True}
    admin.post("/networks", "network", 409, **{"router:external": True}, **second)
    admin.post("/networks", "network", 400, is_default=True)
    admin.subnet(outside, "203.0.113.0/24")
    pool = {"name": "p", "prefixes": ["10.200.0.0/16"], "is_default": True, "shared": True, "default_prefixlen": 24}
    source = admin.post("/subnetpools", "subnetpool", **pool)
    assert demo.get(path, fields="dry-run")["auto_allocated_topology"]["id"] == "dry-run=pass"
    made = demo.get(path)["auto_allocated_topology"]
    assert demo.get(path)["auto_allocated_topology"] == made, "asked again, it is the same"
    network = demo.get(f"/networks/{made['id']}")["network"]
    (subnet,) = [demo.get(f"/subnets/{one}")["subnet"] for one in network["subnets"]]
    assert subnet["subnetpool_id"] == source["id"]
    (router,) = demo.get("/routers")["routers"]
    assert router["external_gateway_info"]["network_id"] == outside["id"]
    assert other.get(f"/auto-allocated-topology/{demo.project_id}", 403)
    port = demo.port(network)
    assert demo.delete(path, 409)["type"] == "NetworkInUse"
    demo.delete(f"/ports/{port['id']}")
    demo.delete(path)
    assert demo.get("/routers")["routers"] == [] and demo.get(f"/networks/{made['id']}", 404)
    assert demo.delete(path, 404)["type"] == "HTTPNotFound"
    admin.delete(f"/subnetpools/{source['id']}")
    admin.delete(f"/networks/{outside['id']}")
