"""Server groups and host aggregates: what they are at each microversion, what counts, and whose zone a host has."""

import uuid
from typing import Any

import pytest

from infra.tables.compute import Instance
from tests.compute.conftest import Api, Cloud
from tests.compute.test_boot import Lab, lab  # noqa: F401
from tests.compute.test_hosts import REPORT, node

__all__ = ["node"]


def group(policy: str = "anti-affinity", **more: Any) -> dict[str, Any]:
    return {"server_group": {"name": "g", "policy": policy, **more}}


def zone_of(admin: Api, host: str) -> str:
    (service,) = admin.get("/os-services", host=host)["services"]
    return str(service["zone"])


def test_a_server_group_at_each_version(fresh: Api) -> None:
    made = fresh.post("/os-server-groups", group(rules={"max_server_per_host": "3"}))["server_group"]
    path = f"/os-server-groups/{made['id']}"
    assert (made["policy"], made["rules"], made["members"]) == ("anti-affinity", {"max_server_per_host": 3}, [])
    assert fresh.get(path)["server_group"] == made
    old = fresh.get(path, version="2.63")["server_group"]
    assert (old["policies"], old["metadata"], old["project_id"]) == (["anti-affinity"], {}, fresh.project_id)
    assert "project_id" not in fresh.get(path, version="2.12")["server_group"]
    named = {"server_group": {"name": "g", "policies": ["soft-affinity"]}}
    soft = fresh.post("/os-server-groups", named, version="2.15")["server_group"]
    assert "soft-affinity" in fresh.refused("POST", "/os-server-groups", 400, "2.14", json=named)
    listed = fresh.get("/os-server-groups")["server_groups"]
    assert [each["id"] for each in listed] == [made["id"], soft["id"]]
    assert fresh.get("/os-server-groups", offset=1, limit=5)["server_groups"] == listed[1:]
    fresh.delete(path)
    assert fresh.refused("GET", path, 404) == f"Instance group {made['id']} could not be found."
    fresh.refused("DELETE", path, 404)


@pytest.mark.parametrize(
    ("body", "version"),
    [
        (group("affinity", rules={"max_server_per_host": 2}), "2.64"),
        (group(rules={"max_server_per_host": 0}), "2.64"),
        (group(rules={"most": 2}), "2.64"),
        (group("legacy"), "2.64"),
        (group(), "2.63"),
        ({"server_group": {"name": "g"}}, "2.64"),
        ({"server_group": {"name": "g"}}, "2.63"),
        ({"server_group": {"name": "g", "policies": []}}, "2.63"),
        ({"server_group": {"name": "g", "policies": ["affinity", "anti-affinity"]}}, "2.63"),
        ({"server_group": {"name": "g", "policies": ["affinity"]}}, "2.64"),
        ({"server_group": {"name": "", "policy": "affinity"}}, "2.64"),
    ],
)
def test_server_groups_that_cannot_be(demo: Api, body: dict[str, Any], version: str) -> None:
    demo.refused("POST", "/os-server-groups", 400, version, json=body)


def test_whose_server_groups(cloud: Cloud, admin: Api, fresh: Api, other: Api) -> None:
    made = fresh.post("/os-server-groups", group())["server_group"]["id"]
    other.refused("GET", f"/os-server-groups/{made}", 404)
    other.refused("DELETE", f"/os-server-groups/{made}", 404)
    assert (
        other.get("/os-server-groups", all_projects="1")["server_groups"]
        == other.get("/os-server-groups")["server_groups"]
    )
    assert made in {each["id"] for each in admin.get("/os-server-groups", all_projects="1")["server_groups"]}
    reader = cloud.tenant(admin, "reader")
    reader.refused("POST", "/os-server-groups", 403, json=group())


def test_members_and_quota(cloud: Cloud, admin: Api, fresh: Api) -> None:
    made = fresh.post("/os-server-groups", group())["server_group"]["id"]
    living, gone = (cloud.server(fresh, server_group_id=made) for _ in range(2))
    fresh.delete(f"/servers/{gone}")
    assert fresh.get(f"/os-server-groups/{made}")["server_group"]["members"] == [living]
    assert fresh.get(f"/servers/{living}")["server"]["server_groups"] == [made]
    admin.put(f"/os-quota-sets/{fresh.project_id}", {"quota_set": {"server_groups": 1}})
    words = "Quota exceeded, too many server groups."
    assert fresh.refused("POST", "/os-server-groups", 403, json=group()) == words
    assert fresh.get("/limits")["limits"]["absolute"]["totalServerGroupsUsed"] == 1
    detail = fresh.get(f"/os-quota-sets/{fresh.project_id}/detail")["quota_set"]
    assert detail["server_groups"]["in_use"] == 1
    fresh.delete(f"/os-server-groups/{made}")
    assert fresh.get(f"/servers/{living}")["server"]["server_groups"] == []


def test_a_server_in_a_group(cloud: Cloud, lab: Lab, admin: Api, fresh: Api, other: Api) -> None:  # noqa: F811
    made = fresh.post("/os-server-groups", group())["server_group"]["id"]
    body = {**lab.server(), "os:scheduler_hints": {"group": made}}
    server = fresh.post("/servers", body, 202)["server"]["id"]
    assert fresh.get(f"/servers/{server}")["server"]["server_groups"] == [made]
    assert fresh.get(f"/os-server-groups/{made}")["server_group"]["members"] == [server]
    words = f"Instance group {made} could not be found."
    assert other.refused("POST", "/servers", 400, json=body) == words
    admin.put(f"/os-quota-sets/{fresh.project_id}", {"quota_set": {"server_group_members": 2}})
    assert fresh.refused("POST", "/servers", 403, json={**body, **lab.server(min_count=2)}) == (
        "Quota exceeded, too many servers in group"
    )
    fresh.delete(f"/os-server-groups/{made}")
    assert fresh.refused("POST", "/servers", 400, json=body) == words


def test_an_aggregates_zone_is_its_hosts(cloud: Cloud, admin: Api, service: Api, demo: Api, node: str) -> None:
    name = f"a-{node}"
    made = admin.post("/os-aggregates", {"aggregate": {"name": name, "availability_zone": "east"}})["aggregate"]
    path = f"/os-aggregates/{made['id']}"
    shown = admin.post(f"{path}/action", {"add_host": {"host": node}})["aggregate"]
    assert (shown["hosts"], shown["metadata"], shown["uuid"]) == ([node], {"availability_zone": "east"}, made["uuid"])
    assert "uuid" not in admin.get(path, version="2.40")["aggregate"]
    assert zone_of(admin, node) == "east"
    service.put(f"/kilonova/hosts/{node}", {"host": REPORT})
    assert zone_of(admin, node) == "east", "what the host itself reports does not come back with its heartbeat"
    zones = {zone["zoneName"] for zone in demo.get("/os-availability-zone")["availabilityZoneInfo"]}
    server = cloud.server(demo, host=node)
    assert "east" in zones and demo.get(f"/servers/{server}")["server"]["OS-EXT-AZ:availability_zone"] == "east"
    leave = {"json": {"remove_host": {"host": node}}}
    assert "would change from 'east' to 'None'" in admin.refused("POST", f"{path}/action", 409, **leave)
    move = {"json": {"aggregate": {"availability_zone": "west"}}}
    assert "contain instances in this zone" in admin.refused("PUT", path, 400, **move)
    with cloud.database.write() as session:
        session.get_one(Instance, server).host = None
    assert admin.put(path, move["json"])["aggregate"]["availability_zone"] == "west"
    assert zone_of(admin, node) == "west"
    assert "is not empty" in admin.refused("DELETE", path, 400)
    assert admin.post(f"{path}/action", leave["json"])["aggregate"]["hosts"] == []
    assert zone_of(admin, node) == "nova"
    admin.delete(path, 200)
    assert admin.refused("GET", path, 404) == f"Aggregate {made['id']} could not be found."


def test_metadata_of_an_aggregate(admin: Api, node: str) -> None:
    made = admin.post("/os-aggregates", {"aggregate": {"name": f"m-{node}"}})["aggregate"]
    path = f"/os-aggregates/{made['id']}/action"
    assert "metadata" not in made and made["availability_zone"] is None

    def change(**metadata: str | None) -> Any:
        return admin.post(path, {"set_metadata": {"metadata": metadata}})["aggregate"]["metadata"]

    assert change(ssd="true", gpu="no") == {"ssd": "true", "gpu": "no"}
    assert change(gpu=None, availability_zone="north") == {"ssd": "true", "availability_zone": "north"}
    renamed = admin.put(path.removesuffix("/action"), {"aggregate": {"name": f" r-{node} "}})["aggregate"]
    assert renamed["name"] == f"r-{node}"
    empty = {"set_metadata": {"metadata": {"availability_zone": None}}}
    assert "does not support empty named availability zone" in admin.refused("POST", path, 400, json=empty)


def test_what_aggregates_refuse(cloud: Cloud, admin: Api, demo: Api, node: str) -> None:
    one, two = (
        admin.post("/os-aggregates", {"aggregate": {"name": f"{n}-{node}", "availability_zone": n}})["aggregate"]["id"]
        for n in ("one", "two")
    )
    path, add = f"/os-aggregates/{one}/action", {"add_host": {"host": node}}
    admin.post(path, add)
    assert "already has host" in admin.refused("POST", path, 409, json=add)
    elsewhere = admin.refused("POST", f"/os-aggregates/{two}/action", 409, json=add)
    assert "already in availability zone(s) ['one']" in elsewhere
    assert "not mapped to any cell" in admin.refused("POST", path, 404, json={"add_host": {"host": "none"}})
    words = admin.refused("POST", f"/os-aggregates/{two}/action", 404, json={"remove_host": {"host": node}})
    assert words == f"Cannot remove host {node} in aggregate {two}"
    for method, where, status, body in (
        ("POST", "/os-aggregates", 409, {"aggregate": {"name": f"one-{node}"}}),
        ("POST", "/os-aggregates", 400, {"aggregate": {"name": "x", "availability_zone": "a:b"}}),
        ("PUT", f"/os-aggregates/{one}", 409, {"aggregate": {"name": f"two-{node}"}}),
        ("PUT", f"/os-aggregates/{one}", 400, {"aggregate": {}}),
        ("GET", "/os-aggregates/x", 400, None),
        ("POST", path, 400, {"fly": {}}),
        ("POST", f"/os-aggregates/{one}/images", 501, {"cache": [{"id": str(uuid.uuid4())}]}),
        ("POST", f"/os-aggregates/{one}/images", 400, {"cache": []}),
        ("POST", f"/os-aggregates/{one}/images", 400, {"cache": [{"id": node}]}),
    ):
        admin.refused(method, where, status, json=body)
    admin.refused("POST", f"/os-aggregates/{one}/images", 404, "2.80", json={"cache": [{"id": str(uuid.uuid4())}]})
    for method, where in (("GET", "/os-aggregates"), ("POST", path), ("DELETE", f"/os-aggregates/{one}")):
        demo.refused(method, where, 403, json={"add_host": {"host": node}})
    (found,) = admin.get("/os-services", host=node)["services"]
    admin.delete(f"/os-services/{found['id']}")
    assert admin.get(f"/os-aggregates/{one}")["aggregate"]["hosts"] == []
    assert {one, two} <= {each["id"] for each in admin.get("/os-aggregates")["aggregates"]}


def test_a_server_added_to_a_zone_with_servers_is_refused(cloud: Cloud, admin: Api, demo: Api, node: str) -> None:
    cloud.server(demo, host=node)
    made = admin.post("/os-aggregates", {"aggregate": {"name": f"z-{node}", "availability_zone": "z"}})["aggregate"]
    path = f"/os-aggregates/{made['id']}/action"
    words = admin.refused("POST", path, 409, json={"add_host": {"host": node}})
    assert "would change from 'None' to 'z' but the host already has 1 instance(s)" in words
