"""What Keystone does for clients that ask by tags and trees, add attributes of their own, or give away no role."""

import uuid

from tests.embedded.people import Api, Json, Make
from tests.openstack import OpenStack


def project(admin: Api, **about: object) -> str:
    body = {"project": {"name": f"p-{uuid.uuid4().hex[:8]}", "domain_id": "default", **about}}
    return str(admin.ok("POST", "/projects", body)["project"]["id"])


def test_projects_are_found_by_their_tags(openstack: OpenStack) -> None:
    admin, mark = Api(openstack, openstack.token("admin")), uuid.uuid4().hex[:6]
    one, two = f"one-{mark}", f"two-{mark}"
    both, first = project(admin, tags=[one, two]), project(admin, tags=[one])
    for query, expected in (
        (f"tags={one}", {both, first}),
        (f"tags={one},{two}", {both}),
        (f"tags-any={one},{two}", {both, first}),
        (f"tags={one}&not-tags={one},{two}", {first}),
        (f"tags={one}&not-tags-any={two}", {first}),
    ):
        found = admin.ok("GET", f"/projects?{query}")["projects"]
        assert {each["id"] for each in found} == expected, query


def test_a_project_tells_of_its_parents_and_its_subtree(openstack: OpenStack) -> None:
    admin = Api(openstack, openstack.token("admin"))
    top = project(admin)
    middle = project(admin, parent_id=top)
    low = project(admin, parent_id=middle)

    def told(of: str, what: str) -> Json:
        shown: Json = admin.ok("GET", f"/projects/{of}?{what}")["project"]
        return shown

    me = admin.ok("GET", "/auth/tokens", headers={"X-Subject-Token": admin.token})["token"]["user"]["id"]
    for each in (top, middle, low):  # lists name what the caller has a role on
        admin.ok("PUT", f"/projects/{each}/users/{me}/roles/{admin.role('reader')}")
    assert told(low, "parents_as_ids")["parents"] == {middle: {top: {"default": None}}}
    assert told(top, "subtree_as_ids")["subtree"] == {middle: {low: None}}
    assert {each["project"]["id"] for each in told(low, "parents_as_list")["parents"]} >= {middle, top}
    assert {each["project"]["id"] for each in told(top, "subtree_as_list")["subtree"]} == {middle, low}
    assert {each["id"] for each in admin.ok("GET", f"/projects?parent_id={top}")["projects"]} == {middle}


def test_attributes_that_clients_add_are_kept(openstack: OpenStack) -> None:
    """OpenTofu reads back the name that it gave an endpoint."""
    admin, name = Api(openstack, openstack.token("admin")), f"n-{uuid.uuid4().hex[:8]}"
    more = {"name": name, "description": "d", "colour": "red"}
    service = admin.ok("POST", "/services", {"service": {"type": name, **more}})["service"]
    endpoint = {"service_id": service["id"], "interface": "public", "url": "http://127.0.0.1:1", **more}
    made = {
        "services": service,
        "endpoints": admin.ok("POST", "/endpoints", {"endpoint": endpoint})["endpoint"],
        "roles": admin.ok("POST", "/roles", {"role": more})["role"],
        "regions": admin.ok("POST", "/regions", {"region": {"id": name, **more}})["region"],
    }
    for kind, one in reversed(made.items()):
        shown = admin.ok("GET", f"/{kind}/{one['id']}")[kind.removesuffix("s")]
        assert shown.items() >= more.items(), kind
    for kind in ("endpoints", "services", "roles", "regions"):
        admin.ok("DELETE", f"/{kind}/{made[kind]['id']}")


def test_an_application_credential_without_roles_has_those_of_its_user(openstack: OpenStack, make: Make) -> None:
    """`roles: []` is what clients send who name none: Keystone gives the token's own, and no other."""
    someone = make()
    mine, path = someone.sign_in(), f"/users/{someone.user_id}/application_credentials"
    made = mine.ok("POST", path, {"application_credential": {"name": "all", "roles": []}})["application_credential"]
    assert {role["name"] for role in made["roles"]} == {"member", "reader"}
    methods = {
        "methods": ["application_credential"],
        "application_credential": {"id": made["id"], "secret": made["secret"]},
    }
    token = mine.ok("POST", "/auth/tokens", {"auth": {"identity": methods}})["token"]
    assert {role["name"] for role in token["roles"]} == {"member", "reader"}
    assert token["project"]["id"] == someone.project_id
