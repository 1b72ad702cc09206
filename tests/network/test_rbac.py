"""What projects share with each other, and what they may do with it."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.network.conftest import Api

Json = dict[str, Any]


def share(api: Api, kind: str, thing: Json, target: str, status: int = 201, /, **attributes: Any) -> Any:
    body = {"object_type": kind, "object_id": thing["id"], "action": "access_as_shared", "target_tenant": target}
    return api.post("/rbac-policies", "rbac_policy", status, **{**body, **attributes})


def test_a_network_shared_with_one_project(demo: Api, other: Api, cloud: Any) -> None:
    network = demo.network(name="ours")
    subnet = demo.subnet(network)
    path = f"/networks/{network['id']}"
    other.get(path, 404)
    policy = share(demo, "network", network, other.project_id)
    assert policy["target_project"] == other.project_id and policy["project_id"] == demo.project_id
    assert other.get(path)["network"]["shared"] is True and demo.get(path)["network"]["shared"] is False
    assert other.get(f"/subnets/{subnet['id']}")["subnet"]["id"] == subnet["id"]
    assert [one["id"] for one in other.get("/networks", shared="true")["networks"] if one["id"] == network["id"]]
    assert network["id"] not in [one["id"] for one in other.get("/networks", shared="false")["networks"]]
    cloud.tenant().get(path, 404)
    port = other.port(network)
    used = demo.delete(f"/rbac-policies/{policy['id']}", 409)
    assert used["type"] == "RbacPolicyInUse" and other.project_id in used["message"]
    other.delete(f"/ports/{port['id']}")
    assert other.put(path, "network", 403, name="x")["type"] == "PolicyNotAuthorized"
    demo.delete(f"/rbac-policies/{policy['id']}")
    other.get(path, 404)


def test_what_may_not_be_shared(admin: Api, demo: Api, other: Api) -> None:
    network = demo.network()
    assert share(demo, "network", network, "*", 403)["type"] == "PolicyNotAuthorized"
    share(demo, "network", network, other.project_id)
    assert share(demo, "network", network, other.project_id, 409)["type"] == "DuplicateRbacPolicy"
    assert "do not own" in share(other, "network", network, other.project_id, 400)["message"]
    assert "not a valid RBAC object type" in share(demo, "volume", network, other.project_id, 400)["message"]
    share(demo, "network", network, other.project_id, 400, action="access_as_nothing")
    share(demo, "qos_policy", network, other.project_id, 404)
    share(demo, "network", {"id": "00000000-0000-4000-8000-000000000000"}, other.project_id, 404)
    everyones = share(admin, "network", network, "*")
    assert other.get(f"/networks/{network['id']}")["network"]["shared"] is True
    admin.delete(f"/rbac-policies/{everyones['id']}")


def test_shared_is_a_policy(admin: Api, demo: Api) -> None:
    network = admin.network(shared=True)
    (policy,) = admin.get("/rbac-policies", object_id=network["id"])["rbac_policies"]
    assert (policy["target_tenant"], policy["action"]) == ("*", "access_as_shared")
    demo.get(f"/networks/{network['id']}")
    admin.put(f"/networks/{network['id']}", "network", shared=False)
    assert admin.get("/rbac-policies", object_id=network["id"])["rbac_policies"] == []
    demo.get(f"/networks/{network['id']}", 404)


def test_external_for_one_project(admin: Api, demo: Api, other: Api, provider: Callable[..., Json]) -> None:
    network = provider(**{"shared": False, "router:external": False})
    admin.subnet(network, "203.0.113.0/24")
    share(demo, "network", network, demo.project_id, 400, action="access_as_external")
    policy = share(admin, "network", network, demo.project_id, action="access_as_external")
    assert demo.get(f"/networks/{network['id']}")["network"]["router:external"] is True
    other.get(f"/networks/{network['id']}", 404)
    router = demo.post("/routers", "router", external_gateway_info={"network_id": network["id"]})
    assert admin.delete(f"/rbac-policies/{policy['id']}", 409)["type"] == "RbacPolicyInUse"
    demo.delete(f"/routers/{router['id']}")
    admin.delete(f"/rbac-policies/{policy['id']}")


def test_a_policy_moves_to_another_project(demo: Api, other: Api, cloud: Any) -> None:
    network, third = demo.network(), cloud.tenant()
    policy = share(demo, "network", network, other.project_id)
    moved = demo.put(f"/rbac-policies/{policy['id']}", "rbac_policy", target_tenant=third.project_id)
    assert moved["target_tenant"] == third.project_id
    other.get(f"/networks/{network['id']}", 404)
    third.get(f"/networks/{network['id']}")


@pytest.fixture(autouse=True)
def enough_policies(admin: Api) -> None:
    """Every shared network of other tests counts in the admin's quota."""
    admin.put(f"/quotas/{admin.project_id}", "quota", rbac_policy=-1)


@pytest.mark.parametrize("kind", ["security_group", "address_group", "subnetpool", "address_scope"])
def test_every_type_is_seen_by_the_project_it_is_shared_with(demo: Api, other: Api, kind: str) -> None:
    path = "/" + {"security_group": "security-groups", "address_group": "address-groups"}.get(
        kind, f"{kind.replace('_', '-')}s"
    )
    extra: dict[str, Json] = {"subnetpool": {"prefixes": ["10.64.0.0/16"]}, "address_scope": {"ip_version": 4}}
    thing = demo.post(path, kind, name="s", **extra.get(kind, {}))
    other.get(f"{path}/{thing['id']}", 404)
    share(demo, kind, thing, other.project_id)
    assert other.get(f"{path}/{thing['id']}")[kind]["shared"] is True
    listed = other.get(path, shared="True")[f"{kind}s"]
    assert [one["id"] for one in listed if one["id"] == thing["id"]] == [thing["id"]]
    demo.delete(f"{path}/{thing['id']}")
    assert demo.get("/rbac-policies", object_id=thing["id"])["rbac_policies"] == []


def test_a_shared_group_is_used_and_then_kept(demo: Api, other: Api) -> None:
    group = demo.post("/security-groups", "security_group", name="s")
    network = other.network()
    assert other.post("/ports", "port", 404, network_id=network["id"], security_groups=[group["id"]])
    policy = share(demo, "security_group", group, other.project_id)
    port = other.port(network, security_groups=[group["id"]])
    assert demo.delete(f"/rbac-policies/{policy['id']}", 409)["type"] == "RbacPolicyInUse"
    body = {"security_group_id": group["id"], "direction": "ingress"}
    assert other.post("/security-group-rules", "security_group_rule", 403, **body)["type"] == "PolicyNotAuthorized"
    other.delete(f"/ports/{port['id']}")
    demo.delete(f"/rbac-policies/{policy['id']}")
