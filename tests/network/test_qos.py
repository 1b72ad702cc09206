"""QoS policies: who makes them, what limits, and what of it reaches hosts."""

import uuid
from typing import Any

from tests.network.conftest import Api

Json = dict[str, Any]


def limit(api: Api, policy: Json, status: int = 201, /, **attributes: Any) -> Any:
    return api.post(f"/qos/policies/{policy['id']}/bandwidth_limit_rules", "bandwidth_limit_rule", status, **attributes)


def test_policies_and_rules(admin: Api, demo: Api) -> None:
    assert demo.post("/qos/policies", "policy", 403, name="p")["type"] == "PolicyNotAuthorized"
    policy = admin.post("/qos/policies", "policy", name="p", shared=True, tags=["gold"])
    assert policy["rules"] == [] and policy["is_default"] is False and policy["tags"] == ["gold"]
    path = f"/qos/policies/{policy['id']}"
    rule = limit(admin, policy, max_kbps=1000, max_burst_kbps=100)
    assert (rule["direction"], rule["max_kbps"]) == ("egress", 1000)
    assert limit(admin, policy, 409, max_kbps=5)["type"] == "QoSRuleParameterConflict"
    other = limit(admin, policy, max_kbps=2000, direction="ingress")
    shown = demo.get(path)["policy"]
    assert [(one["type"], one["max_kbps"]) for one in shown["rules"]] == [
        ("bandwidth_limit", 1000),
        ("bandwidth_limit", 2000),
    ]
    rules = f"{path}/bandwidth_limit_rules"
    assert len(demo.get(rules)["bandwidth_limit_rules"]) == 2
    assert admin.put(f"{rules}/{rule['id']}", "bandwidth_limit_rule", max_kbps=1500)["max_kbps"] == 1500
    assert admin.put(f"{rules}/{rule['id']}", "bandwidth_limit_rule", 409, direction="ingress")
    admin.delete(f"{rules}/{other['id']}")
    assert admin.get(f"{rules}/{other['id']}", 404)["NeutronError"]["type"] == "QosRuleNotFound"
    for wrong in ({}, {"max_kbps": -1}, {"max_kbps": 1, "direction": "up"}, {"max_kbps": 1, "colour": "red"}):
        limit(admin, policy, 400, **wrong)
    assert demo.get("/qos/rule-types")["rule_types"] == [{"type": "bandwidth_limit"}]
    assert demo.get("/extensions/qos-rule-type-details")["extension"]["name"] == "Details of QoS rule types"
    assert demo.get("/qos/rule-types/bandwidth_limit", 403)["NeutronError"]["type"] == "NotAuthorized"
    (driver,) = admin.get("/qos/rule-types/bandwidth_limit")["rule_type"]["drivers"]
    known = {one["parameter_name"]: one["parameter_values"] for one in driver["supported_parameters"]}
    assert known.keys() == {"max_kbps", "max_burst_kbps", "direction"} and set(known["direction"]) == {
        "egress",
        "ingress",
    }
    limit(admin, policy, 400, max_kbps=known["max_kbps"]["end"] + 1)
    admin.get("/qos/rule-types/dscp_marking", 404)
    admin.post(f"{path}/dscp_marking_rules", "dscp_marking_rule", 404, dscp_mark=8)
    assert admin.http.put(f"/policies/{policy['id']}/tags/blue").status_code == 201


def test_limits_reach_hosts_from_port_and_network(admin: Api, demo: Api, service: Api) -> None:
    host = f"host-{uuid.uuid4().hex[:8]}"
    wide, narrow = (admin.post("/qos/policies", "policy", name=name, shared=True) for name in ("wide", "narrow"))
    limit(admin, wide, max_kbps=10_000)
    limit(admin, narrow, max_kbps=100, max_burst_kbps=10, direction="ingress")
    network = demo.network(qos_policy_id=wide["id"])
    one, two = demo.port(network), demo.port(network, qos_policy_id=narrow["id"])
    assert one["qos_policy_id"] is None and one["qos_network_policy_id"] == wide["id"]
    for port in (one, two):
        service.put(f"/ports/{port['id']}", "port", **{"binding:host_id": host})
    first = service.http.get("/kilonova/topology", params={"host": host})
    found = {port["id"]: port["qos"] for port in first.json()["ports"]}
    assert found[one["id"]] == {
        "egress_kbps": 10_000,
        "egress_burst_kbits": 0,
        "ingress_kbps": None,
        "ingress_burst_kbits": None,
    }
    assert (found[two["id"]]["ingress_kbps"], found[two["id"]]["egress_kbps"]) == (100, None)
    assert admin.delete(f"/qos/policies/{wide['id']}", 409)["type"] == "QosPolicyInUse"
    demo.put(f"/networks/{network['id']}", "network", qos_policy_id=None)
    again = service.http.get(
        "/kilonova/topology", params={"host": host}, headers={"If-None-Match": first.headers["etag"]}
    )
    assert {port["id"]: port["qos"] for port in again.json()["ports"]}[one["id"]] is None
    demo.put(f"/ports/{two['id']}", "port", qos_policy_id=None)
    admin.delete(f"/qos/policies/{narrow['id']}")


def test_policies_that_are_not_shared_are_not_used(admin: Api, demo: Api) -> None:
    policy = admin.post("/qos/policies", "policy", name="p")
    error = demo.post("/networks", "network", 404, qos_policy_id=policy["id"])
    assert error["message"] == f"QoS policy {policy['id']} could not be found."
    admin.put(f"/qos/policies/{policy['id']}", "policy", shared=True)
    network = demo.network(qos_policy_id=policy["id"])
    error = admin.put(f"/qos/policies/{policy['id']}", "policy", 409, shared=False)
    assert error["type"] == "RbacPolicyInUse"
    demo.delete(f"/networks/{network['id']}")


def test_a_projects_default(admin: Api, demo: Api) -> None:
    mine = {"project_id": demo.project_id, "is_default": True}
    policy = admin.post("/qos/policies", "policy", name="p", **mine)
    assert admin.post("/qos/policies", "policy", 409, name="q", **mine)["type"] == "QoSPolicyDefaultAlreadyExists"
    assert demo.network()["qos_policy_id"] == policy["id"]
    listed = admin.get("/qos/policies", is_default="true", project_id=demo.project_id)["policies"]
    assert [one["id"] for one in listed] == [policy["id"]]
