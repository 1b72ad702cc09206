import uuid
from collections.abc import Callable
from typing import Any

import pytest

from tests.network.conftest import Api

Make = Callable[..., dict[str, Any]]


def ips(port: dict[str, Any]) -> list[str]:
    return [fixed["ip_address"] for fixed in port["fixed_ips"]]


def test_what_a_port_gets_by_itself(admin: Api, demo: Api) -> None:
    network = demo.network()
    subnet = demo.subnet(network)
    port = demo.port(network, name="p")
    assert port["fixed_ips"] == [{"subnet_id": subnet["id"], "ip_address": "10.1.0.2"}]
    assert port["mac_address"].startswith("fa:16:3e:") and port["status"] == "DOWN"
    assert port["security_groups"] == [demo.default_group()["id"]]
    assert port["binding:vnic_type"] == "normal" and "binding:host_id" not in port
    whole = admin.get(f"/ports/{port['id']}")["port"]
    assert (whole["binding:vif_type"], whole["binding:host_id"], whole["binding:vif_details"]) == ("unbound", "", {})


def test_a_freed_address_rests_while_others_are_free(demo: Api) -> None:
    network = demo.network()
    demo.subnet(network, "10.1.0.0/29")
    first = demo.port(network)
    demo.delete(f"/ports/{first['id']}")
    assert ips(demo.port(network)) != ips(first)
    taken = {ips(demo.port(network))[0] for _ in range(4)}
    assert ips(first)[0] in taken, "used again once the others are gone"
    error = demo.post("/ports", "port", 409, network_id=network["id"])
    assert error["type"] == "IpAddressGenerationFailure"
    assert error["message"] == f"No more IP addresses available on network {network['id']}."
    assert len(demo.get("/ports", network_id=network["id"])["ports"]) == 5


def test_the_second_subnet_is_used_when_the_first_is_full(demo: Api) -> None:
    network = demo.network()
    demo.subnet(network, "10.1.0.0/30")
    demo.subnet(network, "10.2.0.0/29")
    assert [ips(demo.port(network))[0] for _ in range(2)] == ["10.1.0.2", "10.2.0.2"]


def test_addresses_asked_for(demo: Api) -> None:
    network = demo.network()
    subnet, outside = demo.subnet(network), demo.subnet(demo.network(), "10.7.0.0/24")
    port = demo.port(network, fixed_ips=[{"ip_address": "10.1.0.77"}, {"subnet_id": subnet["id"]}])
    assert ips(port) == ["10.1.0.2", "10.1.0.77"]
    for fixed, status, kind in (
        ({"ip_address": "10.1.0.77"}, 409, "IpAddressAlreadyAllocated"),
        ({"ip_address": "10.3.0.1"}, 400, "InvalidIpForNetwork"),
        ({"ip_address": "10.1.0.255"}, 400, "InvalidIpForSubnet"),
        ({"subnet_id": outside["id"]}, 400, "InvalidInput"),
        ({"subnet_id": subnet["id"], "ip_address": "10.7.0.9"}, 400, "InvalidIpForSubnet"),
        ({}, 400, "HTTPBadRequest"),
        ({"ip_address": "fd00::1"}, 400, "InvalidIpForNetwork"),
    ):
        assert demo.post("/ports", "port", status, network_id=network["id"], fixed_ips=[fixed])["type"] == kind, fixed
    twice = [{"ip_address": "10.1.0.9"}, {"ip_address": "10.1.0.9"}]
    assert "Duplicate" in demo.post("/ports", "port", 400, network_id=network["id"], fixed_ips=twice)["message"]
    assert ips(demo.port(network, fixed_ips=[])) == []


def test_changing_addresses_keeps_those_that_stay(demo: Api) -> None:
    network = demo.network()
    subnet = demo.subnet(network)
    port = demo.port(network)
    wanted = [{"subnet_id": subnet["id"], "ip_address": ips(port)[0]}, {"ip_address": "10.1.0.50"}]
    assert ips(demo.put(f"/ports/{port['id']}", "port", fixed_ips=wanted)) == ["10.1.0.2", "10.1.0.50"]
    assert ips(demo.put(f"/ports/{port['id']}", "port", fixed_ips=[{"ip_address": "10.1.0.50"}])) == ["10.1.0.50"]
    assert ips(demo.port(network, fixed_ips=[{"ip_address": "10.1.0.2"}])) == ["10.1.0.2"]


def test_mac_addresses(demo: Api) -> None:
    network = demo.network()
    assert demo.port(network, mac_address="52:54:00:AA:bb:01")["mac_address"] == "52:54:00:aa:bb:01"
    error = demo.post("/ports", "port", 409, network_id=network["id"], mac_address="52:54:00:aa:bb:01")
    assert error["type"] == "MacAddressInUse"
    for wrong in ("52:54:00:aa:bb", "00:00:00:00:00:00", "FF:ff:ff:ff:ff:ff", "x"):
        demo.post("/ports", "port", 400, network_id=network["id"], mac_address=wrong)
    demo.port(demo.network(), mac_address="52:54:00:aa:bb:01")
    assert demo.port(network, mac_address="01:00:5e:00:00:01")["mac_address"] == "01:00:5e:00:00:01"


def test_a_service_chooses_ids_so_that_a_repeat_is_seen(service: Api, demo: Api, provider: Make) -> None:
    network, chosen = provider(), str(uuid.uuid4())
    port = service.port(network, id=chosen, project_id=demo.project_id)
    assert (port["id"], port["project_id"]) == (chosen, demo.project_id)
    assert port["security_groups"] == [demo.default_group()["id"]]
    error = service.post("/ports", "port", 409, network_id=network["id"], id=chosen, project_id=demo.project_id)
    assert error["type"] == "PortIdInUse"
    refused = demo.post("/ports", "port", 403, network_id=network["id"], id=str(uuid.uuid4()))
    assert refused["message"] == "rule:create_port:id is disallowed by policy"
    error = demo.post("/ports", "port", 400, network_id=network["id"], project_id=service.project_id)
    assert error["type"] == "HTTPBadRequest"


def test_binding_is_the_services(service: Api, demo: Api, provider: Make) -> None:
    network = provider()
    port = demo.port(network)
    path = f"/ports/{port['id']}"
    for attribute in ({"binding:host_id": "h"}, {"binding:profile": {"a": 1}}, {"status": "ACTIVE"}):
        assert demo.put(path, "port", 403, **attribute)["type"] == "PolicyNotAuthorized"
    bound = service.put(path, "port", **{"binding:host_id": "node1", "device_owner": "compute:nova", "device_id": "i"})
    assert bound["binding:vif_type"] == "bridge" and bound["status"] == "DOWN"
    assert bound["binding:vif_details"]["physical_network"] == network["provider:physical_network"]
    assert service.put(path, "port", status="ACTIVE")["status"] == "ACTIVE"
    assert service.put(path, "port", **{"binding:host_id": "node1"})["status"] == "ACTIVE"
    assert service.put(path, "port", **{"binding:host_id": ""})["binding:vif_type"] == "unbound"
    assert demo.get(path)["port"]["status"] == "DOWN"
    local = service.port(demo.network(), project_id=demo.project_id, **{"binding:host_id": "node1"})
    assert local["binding:vif_details"]["bridge_name"] == "br-" + local["network_id"][:11]


@pytest.mark.parametrize(
    ("attributes", "rule"),
    [
        ({"mac_address": "fa:16:3e:00:00:01"}, "mac_address"),
        ({"fixed_ips": [{"ip_address": "10.1.0.9"}]}, "fixed_ips:ip_address"),
        ({"port_security_enabled": False}, "port_security_enabled"),
        ({"allowed_address_pairs": [{"ip_address": "10.0.0.0/8"}]}, "allowed_address_pairs"),
        ({"device_owner": "network:dhcp"}, "device_owner:network"),
    ],
)
def test_tenants_cannot_spoof_on_a_shared_network(
    admin: Api, anyone: Api, provider: Make, attributes: dict[str, Any], rule: str
) -> None:
    network = provider()
    admin.subnet(network)
    error = anyone.post("/ports", "port", 403, network_id=network["id"], **attributes)
    assert error["message"] == f"rule:create_port:{rule} is disallowed by policy"
    port = anyone.port(network)
    anyone.put(f"/ports/{port['id']}", "port", 403, **attributes)


def test_port_security_and_groups_go_together(demo: Api) -> None:
    network = demo.network()
    bare = demo.port(network, port_security_enabled=False)
    assert bare["security_groups"] == []
    group = demo.default_group()["id"]
    error = demo.put(f"/ports/{bare['id']}", "port", 400, security_groups=[group])
    assert error["type"] == "PortSecurityAndIPRequiredForSecurityGroups"
    pairs = [{"ip_address": "10.5.0.0/16"}]
    error = demo.put(f"/ports/{bare['id']}", "port", 409, allowed_address_pairs=pairs)
    assert error["type"] == "AddressPairAndPortSecurityRequired"
    port = demo.port(network, allowed_address_pairs=pairs)
    assert port["allowed_address_pairs"] == [{"ip_address": "10.5.0.0/16", "mac_address": port["mac_address"]}]
    error = demo.put(f"/ports/{port['id']}", "port", 409, port_security_enabled=False, allowed_address_pairs=[])
    assert error["type"] == "PortSecurityPortHasSecurityGroup"
    free = demo.put(
        f"/ports/{port['id']}", "port", port_security_enabled=False, allowed_address_pairs=[], security_groups=[]
    )
    assert free["port_security_enabled"] is False


def test_groups_must_be_the_projects_own(demo: Api, other: Api) -> None:
    network = demo.network()
    foreign = other.default_group()["id"]
    error = demo.post("/ports", "port", 404, network_id=network["id"], security_groups=[foreign])
    assert error == {
        "type": "SecurityGroupNotFound",
        "message": f"Security group {foreign} does not exist",
        "detail": "",
    }
    assert demo.port(network, security_groups=[])["security_groups"] == []


def test_other_projects_ports_do_not_exist(admin: Api, demo: Api, other: Api, provider: Make) -> None:
    port = demo.port(provider())
    error = other.get(f"/ports/{port['id']}", 404)["NeutronError"]
    assert (error["type"], error["message"]) == ("PortNotFound", f"Port {port['id']} could not be found.")
    other.put(f"/ports/{port['id']}", "port", 404, name="x")
    other.delete(f"/ports/{port['id']}", 404)
    assert other.get("/ports")["ports"] == []
    assert admin.get("/ports", id=port["id"])["ports"][0]["project_id"] == demo.project_id
    demo.get("/ports/p1", 404)
