"""Address groups, stateless groups, and what of both reaches hosts."""

import uuid
from typing import Any

from tests.network.conftest import Api

Json = dict[str, Any]


def rule(api: Api, group: str, status: int = 201, /, **attributes: Any) -> Any:
    body = {"security_group_id": group, "direction": "ingress", **attributes}
    return api.post("/security-group-rules", "security_group_rule", status, **body)


def change(api: Api, group: Json, action: str, status: int, addresses: list[str]) -> Any:
    answer = api.http.put(f"/address-groups/{group['id']}/{action}", json={"addresses": addresses})
    assert answer.status_code == status, answer.text
    return answer.json()["address_group"] if status == 200 else answer.json()["NeutronError"]


def test_addresses_are_added_and_taken(demo: Api, other: Api) -> None:
    made = demo.post("/address-groups", "address_group", name="a", addresses=["192.0.2.7/24", "FD00::1"])
    assert made["addresses"] == ["192.0.2.0/24", "fd00::1/128"] and made["shared"] is False
    added = change(demo, made, "add_addresses", 200, ["198.51.100.1"])
    assert "198.51.100.1/32" in added["addresses"] and added["revision_number"] == 2
    assert change(demo, made, "add_addresses", 400, ["198.51.100.1"])["type"] == "AddressesAlreadyExist"
    assert change(demo, made, "remove_addresses", 404, ["203.0.113.1"])["type"] == "AddressesNotFound"
    assert change(demo, made, "remove_addresses", 200, ["192.0.2.0/24"])["addresses"] == [
        "198.51.100.1/32",
        "fd00::1/128",
    ]
    change(other, made, "add_addresses", 404, ["10.0.0.1"])
    demo.post("/address-groups", "address_group", 400, addresses=["nonsense"])
    renamed = demo.put(f"/address-groups/{made['id']}", "address_group", name="b")
    assert renamed["name"] == "b"
    assert demo.get("/address-groups", name="b")["address_groups"] == [renamed]


def test_a_group_that_a_rule_names_is_kept(demo: Api, other: Api) -> None:
    made = demo.post("/address-groups", "address_group", name="a", addresses=["192.0.2.0/24"])
    mine = demo.default_group()["id"]
    named = rule(demo, mine, protocol="tcp", remote_address_group_id=made["id"])
    assert named["remote_address_group_id"] == made["id"] and named["remote_ip_prefix"] is None
    assert rule(demo, mine, 409, protocol="6", remote_address_group_id=made["id"])["type"] == "SecurityGroupRuleExists"
    error = rule(demo, mine, 400, remote_address_group_id=made["id"], remote_group_id=mine)
    assert error["type"] == "SecurityGroupMultipleRemoteEntites"
    theirs = other.default_group()["id"]
    assert rule(other, theirs, 404, remote_address_group_id=made["id"])["type"] == "AddressGroupNotFound"
    assert demo.delete(f"/address-groups/{made['id']}", 409)["type"] == "AddressGroupInUse"
    listed = demo.get("/security-group-rules", remote_address_group_id=made["id"])["security_group_rules"]
    assert [one["id"] for one in listed] == [named["id"]]
    demo.delete(f"/security-group-rules/{named['id']}")
    demo.delete(f"/address-groups/{made['id']}")


def test_sets_follow_address_groups(demo: Api, service: Api) -> None:
    host = f"host-{uuid.uuid4().hex[:8]}"
    made = demo.post("/address-groups", "address_group", addresses=["192.0.2.0/24", "fd00::/64"])
    rule(demo, demo.default_group()["id"], protocol="tcp", remote_address_group_id=made["id"])
    port = demo.port(demo.network())
    service.put(f"/ports/{port['id']}", "port", **{"binding:host_id": host})
    first = service.http.get("/kilonova/topology", params={"host": host})
    assert first.json()["sets"][f"address-group:{made['id']}"] == ["192.0.2.0/24", "fd00::/64"]
    (shown,) = first.json()["ports"]
    named = [one for one in shown["rules"] if one["remote_set"] == f"address-group:{made['id']}"]
    assert [(one["protocol"], one["remote_ips"]) for one in named] == [("tcp", None)]
    change(demo, made, "remove_addresses", 200, ["fd00::/64"])
    headers = {"If-None-Match": first.headers["etag"]}
    again = service.http.get("/kilonova/topology", params={"host": host}, headers=headers)
    assert again.status_code == 200 and again.json()["sets"][f"address-group:{made['id']}"] == ["192.0.2.0/24"]


def test_stateless_groups(demo: Api, service: Api) -> None:
    host = f"host-{uuid.uuid4().hex[:8]}"
    plain = demo.post("/security-groups", "security_group", name="s", stateful=False)
    assert plain["stateful"] is False
    network = demo.network()
    mixed = [plain["id"], demo.default_group()["id"]]
    error = demo.post("/ports", "port", 409, network_id=network["id"], security_groups=mixed)
    assert error["type"] == "SecurityGroupConflict"
    port = demo.port(network, security_groups=[plain["id"]])
    error = demo.put(f"/security-groups/{plain['id']}", "security_group", 409, stateful=True)
    assert error["type"] == "SecurityGroupInUse"
    service.put(f"/ports/{port['id']}", "port", **{"binding:host_id": host})
    (shown,) = service.get("/kilonova/topology", host=host)["ports"]
    assert shown["stateful"] is False
    demo.put(f"/ports/{port['id']}", "port", security_groups=[])
    assert demo.put(f"/security-groups/{plain['id']}", "security_group", stateful=True)["stateful"] is True
    assert [one["id"] for one in demo.get("/security-groups", stateful="false")["security_groups"]] == []


def test_the_default_egress_rule_twice_and_how_prefixes_are_compared(demo: Api) -> None:
    group = demo.post("/security-groups", "security_group", name="g")["id"]
    for ethertype in ("IPv4", "IPv6"):
        again = {"direction": "egress", "ethertype": ethertype}
        assert rule(demo, group, 409, **again)["type"] == "SecurityGroupRuleExists"
    made = rule(demo, group, ethertype="IPv6", remote_ip_prefix="FD00:1::/64")
    assert (made["remote_ip_prefix"], made["normalized_cidr"]) == ("fd00:1::/64", "fd00:1::/64")
    assert rule(demo, group, 409, ethertype="IPv6", remote_ip_prefix="fd00:1::9/64")["type"] == (
        "SecurityGroupRuleExists"
    )
