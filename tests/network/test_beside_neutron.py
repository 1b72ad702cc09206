"""What `python -m tests.peer` found different between a real Neutron's answers and ours, each kind as it is now."""

from typing import Any

import pytest

from tests.network.conftest import Api

NEVER = "11111111-2222-4333-8444-555555555555"


@pytest.mark.parametrize(
    "path",
    ["/agents", "/availability_zones", "/service-providers", "/qos/rule-types", "/network-ip-availabilities"],
)
def test_short_lists_refuse_filters_that_nobody_knows(admin: Api, anyone: Api, path: str) -> None:
    for asker in (admin, anyone):
        words = asker.get(path, 400, colour="red")["NeutronError"]["message"]
        assert words == "['colour'] is invalid attribute for filtering"
    assert all(set(one) == set() for one in next(iter(admin.get(path, fields="nothing").values())))


def test_lists_of_what_has_no_tags_know_no_filter_by_tags(anyone: Api) -> None:
    for path in ("/security-group-rules", "/address-groups", "/address-scopes", "/rbac-policies"):
        for name in ("tags", "tags-any", "not-tags", "not-tags-any"):
            words = anyone.get(path, 400, **{name: "red"})["NeutronError"]["message"]
            assert words == f"['{name}'] is invalid attribute for filtering"


@pytest.mark.parametrize(
    ("path", "query", "kind", "words"),
    [
        ("/networks", {"admin_state_up": "x"}, "InvalidInput", "'x' cannot be converted to boolean."),
        ("/networks", {"mtu": "x"}, "InvalidInput", "'x' is not an integer."),
        ("/ports", {"fixed_ips": "x"}, "InvalidInput", "'x' is not of the form <key>=[value]."),
        ("/networks", {"limit": "x"}, "BadRequest", "Bad limit request"),
        ("/security-group-rules", {"protocol": "x"}, "SecurityGroupRuleInvalidProtocol", "protocol x not supported"),
        ("/security-group-rules", {"ethertype": "x"}, "SecurityGroupRuleInvalidEtherType", "'x' not supported"),
        ("/security-group-rules", {"port_range_min": "x"}, "SecurityGroupInvalidPortValue", "Invalid value for port x"),
        ("/auto-allocated-topology/null", {"fields": "id"}, "BadRequest", "Bad auto_allocate request"),
    ],
)
def test_words_of_filters(anyone: Api, path: str, query: dict[str, Any], kind: str, words: str) -> None:
    error = anyone.get(path, 400, **query)["NeutronError"]
    assert error["type"] == kind and words in error["message"]


def test_rules_are_found_as_they_were_written(demo: Api) -> None:
    group = demo.post("/security-groups", "security_group", name="found")
    mine: dict[str, Any] = {"security_group_id": group["id"]}
    rule: dict[str, Any] = {"direction": "ingress", "protocol": "tcp", "port_range_min": 22, "port_range_max": 23}
    demo.post("/security-group-rules", "security_group_rule", **mine, **rule)
    for query in ({"protocol": "TCP"}, {"port_range_min": "22"}, {"ethertype": "ipv4", "direction": "ingress"}):
        assert len(demo.get("/security-group-rules", **mine, **query)["security_group_rules"]) == 1, query


def test_only_external_networks_say_whether_they_are_the_default(admin: Api, demo: Api) -> None:
    assert "is_default" not in demo.network()
    outside = admin.network(**{"router:external": True})
    assert outside["is_default"] is False


def test_empty_texts_of_the_query_say_nothing(demo: Api) -> None:
    network = demo.network()
    for query in ({"fields": ""}, {"sort_key": ""}, {"marker": NEVER}):
        (shown,) = demo.get("/networks", id=network["id"], **query)["networks"]
        assert shown == network


def test_single_ones_show_the_fields_that_are_named(admin: Api) -> None:
    policy = admin.post("/qos/policies", "policy", name="named")
    path = f"/qos/policies/{policy['id']}/bandwidth_limit_rules"
    rule = admin.post(path, "bandwidth_limit_rule", max_kbps=5)
    assert admin.get(f"{path}/{rule['id']}", fields="id") == {"bandwidth_limit_rule": {"id": rule["id"]}}
    assert admin.get(path, fields="id", max_kbps="5") == {"bandwidth_limit_rules": [{"id": rule["id"]}]}
    assert admin.get("/qos/rule-types/bandwidth_limit", fields="type") == {"rule_type": {"type": "bandwidth_limit"}}


def test_words_of_what_is_not_there_or_not_for_members(anyone: Api) -> None:
    missing = anyone.get(f"/networks/{NEVER}/tags", 404)["NeutronError"]
    assert (missing["type"], missing["message"]) == (
        "TagResourceNotFound",
        f"Resource networks {NEVER} could not be found.",
    )
    assert "of type unknown with ID" in anyone.get(f"/rbac-policies/{NEVER}", 404)["NeutronError"]["message"]
    for path in ("/qos/rule-types/bandwidth_limit", "/auto-allocated-topology/somebody"):
        assert anyone.get(path, 403)["NeutronError"]["type"] == "NotAuthorized"


def test_trunks_have_a_quota(admin: Api, demo: Api) -> None:
    path = f"/quotas/{demo.project_id}"
    assert demo.get(path)["quota"]["trunk"] == -1
    admin.put(path, "quota", trunk=0)
    port = demo.port(demo.network())
    refused = demo.post("/trunks", "trunk", 409, port_id=port["id"])
    assert refused["type"] == "OverQuota"
    admin.delete(path)
    demo.post("/trunks", "trunk", port_id=port["id"])
    assert demo.get(f"{path}/details")["quota"]["trunk"]["used"] == 1
    assert demo.get("/quotas/project") == {"project": {"project_id": demo.project_id}}
    assert demo.get("/quotas/tenant") == {"tenant": {"tenant_id": demo.project_id}}


@pytest.mark.parametrize("kind", [None, "text/plain", "application/xml"])
def test_a_body_is_json_whatever_its_type_is_said_to_be(demo: Api, kind: str | None) -> None:
    headers = {"Content-Type": kind} if kind else {}
    url = "/security-groups"
    answer = demo.http.post(url, content=b'{"security_group": {}}', headers=headers)
    assert answer.status_code == 201 and answer.json()["security_group"]["name"] == ""
    assert demo.http.post(url, content=b"{", headers=headers).status_code == 400


def test_whose_a_network_is(demo: Api) -> None:
    error = demo.post("/networks", "network", 400, tenant_id="")
    assert "requires admin or advsvc privileges" in error["message"]


@pytest.mark.parametrize(
    ("path", "member", "body", "words"),
    [
        ("/subnetpools", "subnetpool", {"name": " ", "prefixes": ["10.0.0.0/8"]}, "Blank strings are not permitted."),
        (
            "/subnetpools",
            "subnetpool",
            {"name": "x", "prefixes": [], "min_prefixlen": None},
            "'None' is not an integer.",
        ),
        ("/address-scopes", "address_scope", {"name": "x"}, "Required attribute 'ip_version' not specified"),
        ("/networks", "network", {"name": 5}, "Invalid input for name. Reason: '5' is not a valid string."),
        ("/networks", "network", {"admin_state_up": None}, "'None' cannot be converted to boolean."),
        ("/networks", "network", {"name": "x" * 256}, "exceeds maximum length of 255."),
        ("/security-groups", "security_group", {"name": []}, "'[]' is not a valid string."),
    ],
)
def test_words_of_bodies(demo: Api, path: str, member: str, body: dict[str, Any], words: str) -> None:
    assert words in demo.post(path, member, 400, **body)["message"]


def test_nothing_is_named_twice(demo: Api) -> None:
    network = demo.network()
    about = {"network_id": network["id"], "ip_version": 4, "cidr": "10.1.0.0/24"}
    twice = demo.post("/subnets", "subnet", 400, **about, dns_nameservers=["192.0.2.1"] * 2)
    assert twice["message"] == "Invalid input for dns_nameservers. Reason: Duplicate nameserver '192.0.2.1'."
    route = {"destination": "10.9.0.0/16", "nexthop": "10.1.0.9"}
    assert "Duplicate hostroute" in demo.post("/subnets", "subnet", 400, **about, host_routes=[route] * 2)["message"]


def test_a_member_does_not_change_a_ports_address_of_hardware(admin: Api, demo: Api) -> None:
    path = f"/ports/{demo.port(demo.network())['id']}"
    assert demo.put(path, "port", 403, mac_address="fa:16:3e:00:00:99")["type"] == "PolicyNotAuthorized"
    assert admin.put(path, "port", mac_address="fa:16:3e:00:00:99")["mac_address"] == "fa:16:3e:00:00:99"
