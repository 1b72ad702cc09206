from typing import Any

import pytest

from tests.network.conftest import Api


def rule(api: Api, group: str, status: int = 201, /, **attributes: Any) -> Any:
    body = {"security_group_id": group, "direction": "ingress", **attributes}
    return api.post("/security-group-rules", "security_group_rule", status, **body)


def facts(group: dict[str, Any]) -> set[tuple[Any, ...]]:
    names = ("direction", "ethertype", "protocol", "remote_ip_prefix", "remote_group_id")
    return {tuple(one[name] for name in names) for one in group["security_group_rules"]}


def test_every_project_has_a_default_group(demo: Api, other: Api) -> None:
    (group,) = demo.get("/security-groups")["security_groups"]
    assert group["name"] == "default" and group["project_id"] == demo.project_id
    assert facts(group) == {
        ("egress", "IPv4", None, None, None),
        ("egress", "IPv6", None, None, None),
        ("ingress", "IPv4", None, None, group["id"]),
        ("ingress", "IPv6", None, None, group["id"]),
    }
    assert other.get(f"/security-groups/{group['id']}", 404)["NeutronError"]["type"] == "SecurityGroupNotFound"
    assert len(demo.get("/security-groups")["security_groups"]) == 1


def test_the_default_group_stays(demo: Api) -> None:
    group = demo.default_group()["id"]
    path = f"/security-groups/{group}"
    assert demo.delete(path, 409)["type"] == "SecurityGroupCannotRemoveDefault"
    assert demo.put(path, "security_group", 409, name="x")["type"] == "SecurityGroupCannotUpdateDefault"
    assert demo.put(path, "security_group", description="ours")["description"] == "ours"
    error = demo.post("/security-groups", "security_group", 409, name="default")
    assert error["type"] == "SecurityGroupDefaultAlreadyExists"


def test_a_new_group_lets_out_but_not_in(demo: Api) -> None:
    group = demo.post("/security-groups", "security_group", name="web", description="d")
    assert facts(group) == {("egress", "IPv4", None, None, None), ("egress", "IPv6", None, None, None)}
    twin = demo.post("/security-groups", "security_group", name="web")
    assert twin["id"] != group["id"]
    demo.delete(f"/security-groups/{twin['id']}")


def test_a_group_in_use_is_kept(demo: Api) -> None:
    group = demo.post("/security-groups", "security_group", name="web")["id"]
    referring = demo.post("/security-groups", "security_group", name="db")["id"]
    rule(demo, referring, remote_group_id=group)
    port = demo.port(demo.network(), security_groups=[group])
    assert demo.delete(f"/security-groups/{group}", 409)["type"] == "SecurityGroupInUse"
    demo.delete(f"/ports/{port['id']}")
    demo.delete(f"/security-groups/{group}")
    left = demo.get(f"/security-groups/{referring}")["security_group"]
    assert len(left["security_group_rules"]) == 2, "rules that name a deleted group go with it"


def test_the_same_rule_twice(demo: Api) -> None:
    group = demo.default_group()["id"]
    first = rule(demo, group, protocol="tcp", port_range_min=22, port_range_max=22, remote_ip_prefix="0.0.0.0/0")
    again = {"protocol": "6", "port_range_min": 22, "port_range_max": 22, "remote_ip_prefix": "0.0.0.0/0"}
    error = rule(demo, group, 409, **again)
    assert error["type"] == "SecurityGroupRuleExists"
    assert error["message"] == f"Security group rule already exists. Rule id is {first['id']}."
    demo.delete(f"/security-group-rules/{first['id']}")
    rule(demo, group, **again)
    missing = demo.get(f"/security-group-rules/{first['id']}", 404)["NeutronError"]
    assert missing["type"] == "SecurityGroupRuleNotFound"


@pytest.mark.parametrize(
    ("attributes", "kind"),
    [
        ({"protocol": "nonsense"}, "SecurityGroupRuleInvalidProtocol"),
        ({"protocol": 256}, "SecurityGroupRuleInvalidProtocol"),
        ({"protocol": "ipv6-icmp"}, "SecurityGroupEthertypeConflictWithProtocol"),
        ({"ethertype": "IPv5"}, "SecurityGroupRuleInvalidEtherType"),
        ({"port_range_min": 1, "port_range_max": 2}, "SecurityGroupProtocolRequiredWithPorts"),
        ({"protocol": "tcp", "port_range_min": 2, "port_range_max": 1}, "SecurityGroupInvalidPortRange"),
        ({"protocol": "tcp", "port_range_min": 2}, "SecurityGroupInvalidPortRange"),
        ({"protocol": "udp", "port_range_min": 0, "port_range_max": 1}, "SecurityGroupInvalidPortValue"),
        ({"protocol": "tcp", "port_range_min": 1, "port_range_max": 70000}, "SecurityGroupInvalidPortValue"),
        ({"protocol": "gre", "port_range_min": 1, "port_range_max": 2}, "SecurityGroupInvalidProtocolForPortRange"),
        ({"protocol": "icmp", "port_range_max": 0}, "SecurityGroupMissingIcmpType"),
        ({"protocol": "icmp", "port_range_min": 300}, "SecurityGroupInvalidIcmpValue"),
        ({"remote_ip_prefix": "10.0.0.0/99"}, "InvalidCIDR"),
        ({"remote_ip_prefix": "fd00::/64"}, "SecurityGroupRuleParameterConflict"),
        ({"direction": "sideways"}, "HTTPBadRequest"),
        ({"colour": "red"}, "HTTPBadRequest"),
    ],
)
def test_rules_that_make_no_sense(anyone: Api, attributes: dict[str, Any], kind: str) -> None:
    group = anyone.default_group()["id"]
    assert rule(anyone, group, 400, **attributes)["type"] == kind
    assert len(anyone.default_group()["security_group_rules"]) == 4


def test_remote_prefix_or_group(demo: Api, other: Api) -> None:
    group = demo.default_group()["id"]
    error = rule(demo, group, 400, remote_group_id=group, remote_ip_prefix="10.0.0.0/8")
    assert error["type"] == "SecurityGroupMultipleRemoteEntites"
    foreign = other.default_group()["id"]
    assert rule(demo, group, 404, remote_group_id=foreign)["type"] == "SecurityGroupNotFound"
    assert rule(demo, foreign, 404)["type"] == "SecurityGroupNotFound"
    assert rule(demo, group, 404, remote_group_id="no_group")["type"] == "SecurityGroupNotFound"


def test_how_rules_are_written_down(demo: Api) -> None:
    group = demo.default_group()["id"]
    made = rule(demo, group, protocol="TCP", port_range_min="80", port_range_max=90, remote_ip_prefix="10.1.2.3/8")
    assert (made["protocol"], made["port_range_min"], made["normalized_cidr"]) == ("tcp", 80, "10.0.0.0/8")
    assert made["remote_ip_prefix"] == "10.1.2.3/8" and made["tenant_id"] == demo.project_id
    assert rule(demo, group, ethertype="ipv6", protocol="icmp")["protocol"] == "ipv6-icmp"
    assert rule(demo, group, protocol="any", remote_ip_prefix="10.9.9.9")["remote_ip_prefix"] == "10.9.9.9/32"
    assert rule(demo, group, protocol="icmp", port_range_min=8, port_range_max=0)["port_range_max"] == 0
    listed = demo.get("/security-group-rules", security_group_id=group, protocol="tcp")["security_group_rules"]
    assert [one["id"] for one in listed] == [made["id"]]


def test_an_admins_rule_in_a_tenants_group_is_the_tenants(admin: Api, demo: Api) -> None:
    made = rule(admin, demo.default_group()["id"], protocol="tcp")
    assert made["project_id"] == demo.project_id
    demo.delete(f"/security-group-rules/{made['id']}")
