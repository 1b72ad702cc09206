"""Domains, projects, users, roles, grants and the catalog's tables: made, found, changed, refused, removed."""

import json
import time
from typing import Any

import pytest

from tests.identity.conftest import Api, Cloud, Person, role_id


def unique(name: str) -> str:
    return f"{name}-{time.monotonic_ns()}"


CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "domain": ({"description": "one"}, {"description": "two", "enabled": False}),
    "project": ({"description": "one", "domain_id": "default", "tags": ["b", "a"]}, {"description": "two"}),
    "user": ({"email": "a@example.org", "domain_id": "default"}, {"email": "b@example.org", "enabled": False}),
    "role": ({"description": "one"}, {"description": "two"}),
    "service": ({"type": "dns"}, {"description": "two", "enabled": False}),
}


@pytest.mark.parametrize("kind", CASES)
def test_life_of_a_resource(admin: Api, kind: str) -> None:
    values, change = CASES[kind]
    name = unique(kind)
    made = admin.make(kind, name=name, **values)
    path = f"/{kind}s/{made['id']}"
    assert made["links"]["self"].endswith(f"/v3{path}")
    for key, value in values.items():
        assert sorted(made[key]) == sorted(value) if isinstance(value, list) else made[key] == value
    assert admin.ok("GET", path)[kind] == made
    assert [row["id"] for row in admin.ok("GET", f"/{kind}s?name={name}")[f"{kind}s"]] == [made["id"]]
    renamed = unique("renamed")
    changed = admin.ok("PATCH", path, {kind: {"name": renamed, **change}})[kind]
    assert changed == made | change | {"name": renamed}
    assert admin.ok("GET", path)[kind] == changed
    admin.ok("DELETE", path)
    gone = admin("GET", path)
    assert gone.json()["error"] == {
        "code": 404,
        "title": "Not Found",
        "message": f"Could not find {kind}: {made['id']}.",
    }
    assert admin("DELETE", path).status_code == 404
    assert admin("PATCH", path, {kind: change}).status_code == 404


@pytest.mark.parametrize("kind", ["domain", "project", "user", "role"])
def test_names_are_taken_once(admin: Api, kind: str) -> None:
    first, second = admin.make(kind, name=unique("n")), admin.make(kind, name=unique("n"))
    again = admin("POST", f"/{kind}s", {kind: {"name": first["name"]}})
    assert again.status_code == 409
    assert again.json()["error"]["message"].startswith(f"Conflict occurred attempting to store {kind} - Duplicate")
    assert admin("PATCH", f"/{kind}s/{second['id']}", {kind: {"name": first["name"]}}).status_code == 409
    assert admin.ok("PATCH", f"/{kind}s/{first['id']}", {kind: {"name": first["name"]}})


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/users", {}),
        ("/users", {"user": {}}),
        ("/users", {"user": {"name": ""}}),
        ("/users", {"user": {"name": "  "}}),
        ("/users", {"user": {"name": "n" * 256}}),
        ("/users", {"user": {"name": "nul\x00"}}),
        ("/users", {"user": {"name": "half a pair \ud800"}}),
        ("/users", {"user": {"name": "ok", "email": ["\ud800"]}}),
        ("/users", {"user": {"name": "ok", "enabled": "yes"}}),
        ("/users", {"user": {"name": "ok", "password": 1}}),
        ("/projects", {"project": {"name": "p" * 65}}),
        ("/projects", {"project": {"name": "p", "tags": ["a/b"]}}),
        ("/endpoints", {"endpoint": {"service_id": "0" * 32, "interface": "public", "url": "http://x"}}),
        ("/endpoints", {"endpoint": {"interface": "public", "url": "http://x"}}),
        ("/roles", {"role": {"name": None}}),
        ("/regions", {"region": {"id": "a/b"}}),
    ],
)
def test_bad_bodies_are_400_and_leave_nothing(admin: Api, path: str, body: dict[str, Any]) -> None:
    before = admin.ok("GET", path)[path[1:]]
    raw = json.dumps(body)
    headers = {"X-Auth-Token": admin.token, "Content-Type": "application/json"}
    answer = admin.http.post(f"/v3{path}", content=raw, headers=headers)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["title"] == "Bad Request"
    assert admin.ok("GET", path)[path[1:]] == before


def test_bodies_that_are_not_json_or_too_large(admin: Api) -> None:
    headers = {"X-Auth-Token": admin.token, "Content-Type": "application/json"}
    assert admin.http.post("/v3/users", content=b"{nonsense", headers=headers).status_code == 400
    large = b'{"user":{"name":"' + b"x" * 200_000 + b'"}}'
    chunks = (large[at : at + 50_000] for at in range(0, len(large), 50_000))
    for content in (large, chunks):
        answer = admin.http.post("/v3/users", content=content, headers=headers)
        assert answer.status_code == 413
        assert answer.json()["error"]["code"] == 413


def test_filters_and_pages(admin: Api) -> None:
    stem = unique("page")
    made = sorted(admin.make("user", name=f"{stem}-{n}", enabled=n != 2)["id"] for n in range(4))

    def ids(query: str) -> list[str]:
        return [row["id"] for row in admin.ok("GET", f"/users?{query}")["users"]]

    assert ids(f"name__startswith={stem}") == made
    assert len(ids(f"name__startswith={stem}&enabled=false")) == 1
    assert len(ids(f"name__icontains={stem.upper()}&enabled=True")) == 3
    assert ids(f"name__startswith={stem}&limit=3") == made[:3]
    assert ids(f"name__startswith={stem}&limit=3&marker={made[2]}") == made[3:]
    assert ids(f"name={stem}%25") == ids("name=nobody") == []
    assert admin("GET", "/users?name=a%00b").status_code == 400
    assert admin("GET", "/users?limit=many").status_code == 400
    assert admin("GET", "/users/a%00b").status_code == 404


def test_nested_projects(admin: Api) -> None:
    parent = admin.make("project", name=unique("parent"))
    child = admin.make("project", name=unique("child"), parent_id=parent["id"])
    assert (parent["parent_id"], child["parent_id"]) == ("default", parent["id"])
    assert admin("DELETE", f"/projects/{parent['id']}").status_code == 403
    assert admin("POST", "/projects", {"project": {"name": "x", "parent_id": "0" * 32}}).status_code == 404
    admin.ok("DELETE", f"/projects/{child['id']}")
    admin.ok("DELETE", f"/projects/{parent['id']}")


def test_grants(admin: Api, person: Person) -> None:
    path = f"/projects/{person.project['id']}/users/{person.user['id']}/roles"
    member, reader = role_id(admin, "member"), role_id(admin, "reader")
    assert [row["name"] for row in admin.ok("GET", path)["roles"]] == ["member"]
    assert admin("HEAD", f"{path}/{member}").status_code == 204
    assert admin("HEAD", f"{path}/{reader}").status_code == 404
    admin.ok("PUT", f"{path}/{member}")
    assert admin("PUT", f"{path}/{'0' * 32}").json()["error"]["message"] == f"Could not find role: {'0' * 32}."
    assert admin("DELETE", f"{path}/{reader}").status_code == 404
    assert admin("PUT", f"/projects/nowhere/users/{person.user['id']}/roles/{member}").status_code == 404


def test_role_assignments(admin: Api, person: Person) -> None:
    user, project = person.user["id"], person.project["id"]

    def rows(query: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = admin.ok("GET", f"/role_assignments?{query}")["role_assignments"]
        return found

    [row] = rows(f"user.id={user}")
    assert row["scope"] == {"project": {"id": project}} and row["user"] == {"id": user}
    assert row["links"]["assignment"].endswith(f"/projects/{project}/users/{user}/roles/{row['role']['id']}")
    [named] = rows(f"scope.project.id={project}&include_names=True")
    assert named["user"]["domain"]["name"] == "Default" and named["role"]["name"] == "member"
    assert named["scope"]["project"]["name"] == person.project["name"]
    effective = rows(f"user.id={user}&effective&include_names")
    assert sorted(row["role"]["name"] for row in effective) == ["member", "reader"]
    assert len(rows(f"user.id={user}&effective&role.id={role_id(admin, 'reader')}")) == 1
    assert rows(f"user.id={user}&role.id={role_id(admin, 'reader')}") == []
    assert rows("scope.system=all") == rows("group.id=x") == rows(f"scope.domain.id=default&user.id={user}") == []


def test_implied_roles(admin: Api, person: Person) -> None:
    top, low = admin.make("role", name=unique("top")), admin.make("role", name=unique("low"))
    rule = f"/roles/{top['id']}/implies/{low['id']}"
    admin.ok("PUT", rule)
    assert admin("HEAD", rule).status_code == 204
    assert admin("PUT", f"/roles/{low['id']}/implies/{top['id']}").status_code == 400
    admin.ok("PUT", f"/projects/{person.project['id']}/users/{person.user['id']}/roles/{top['id']}")
    api = person.sign_in()

    def roles() -> set[str]:
        return {row["name"] for row in api.validate(api.token).json()["token"]["roles"]}

    assert low["name"] in roles()
    admin.ok("DELETE", rule)
    assert low["name"] not in roles() and top["name"] in roles()
    inferences = admin.ok("GET", "/role_inferences")["role_inferences"]
    assert {rule["prior_role"]["name"] for rule in inferences} == {"admin", "member"}


def test_the_catalog_follows_its_tables(cloud: Cloud, admin: Api, demo: Api) -> None:
    service = admin.make("service", type=unique("object-store"), name="swift")
    region = unique("Region")
    url = "http://swift/v1/AUTH_$(project_id)s"
    values = {"service_id": service["id"], "interface": "public", "url": url, "region_id": region}
    endpoint = admin.make("endpoint", **values)
    assert endpoint["url"] == url and endpoint["region"] == region

    def published() -> list[str]:
        catalog = demo.ok("GET", "/auth/catalog")["catalog"]
        return [e["url"] for entry in catalog if entry["type"] == service["type"] for e in entry["endpoints"]]

    project = demo.validate(demo.token).json()["token"]["project"]["id"]
    assert published() == [f"http://swift/v1/AUTH_{project}"]
    admin.ok("PATCH", f"/endpoints/{endpoint['id']}", {"endpoint": {"url": "http://new"}})
    assert published() == ["http://new"]
    assert admin("DELETE", f"/regions/{region}").status_code == 403
    admin.ok("PATCH", f"/endpoints/{endpoint['id']}", {"endpoint": {"enabled": False}})
    assert published() == []
    bad = {"endpoint": {"url": "http://x/$(password)s"}}
    assert admin("PATCH", f"/endpoints/{endpoint['id']}", bad).status_code == 400
    admin.ok("DELETE", f"/services/{service['id']}")
    assert admin("GET", f"/endpoints/{endpoint['id']}").status_code == 404
    admin.ok("DELETE", f"/regions/{region}")
    assert cloud.as_("demo", scope=None)("GET", "/auth/catalog").status_code == 403


def test_regions(admin: Api) -> None:
    parent, child = unique("r"), unique("r")
    assert admin("PUT", f"/regions/{parent}", {"region": {}}).status_code == 201
    admin.make("region", id=child, parent_region_id=parent, description="d")
    assert admin("POST", "/regions", {"region": {"id": child}}).status_code == 409
    assert admin("DELETE", f"/regions/{parent}").status_code == 403
    loop = {"region": {"parent_region_id": child}}
    assert admin("PATCH", f"/regions/{parent}", loop).status_code == 400
    assert [row["id"] for row in admin.ok("GET", f"/regions?parent_region_id={parent}")["regions"]] == [child]


def test_options_without_effect_are_not_swallowed(admin: Api) -> None:
    assert (
        admin("POST", "/users", {"user": {"name": unique("u"), "options": {"lock_password": True}}}).status_code == 501
    )
    made = admin.make("user", name=unique("u"), options={"ignore_lockout_failure_attempts": True})
    assert made["options"] == {"ignore_lockout_failure_attempts": True}


def test_version_documents(cloud: Cloud) -> None:
    every = cloud.http.get("/")
    assert every.status_code == 300
    [version] = every.json()["versions"]["values"]
    for path in ("/v3", "/v3/"):
        assert cloud.http.get(path).json() == {"version": version}
    assert version["id"].startswith("v3.") and version["status"] == "stable"
    assert version["links"] == [{"rel": "self", "href": cloud.settings.url("identity", "/v3/")}]
