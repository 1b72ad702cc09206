"""Who may do what: a member's refusals in Keystone's words, what she may see of her own, what services may read."""

import pytest

from tests.identity.conftest import Api, Cloud, Person

ADMIN_ONLY = [
    ("POST", "/users", {"user": {"name": "x"}}, "create_user"),
    ("POST", "/projects", {"project": {"name": "x"}}, "create_project"),
    ("POST", "/roles", {"role": {"name": "x"}}, "create_role"),
    ("POST", "/domains", {"domain": {"name": "x"}}, "create_domain"),
    ("POST", "/services", {"service": {"type": "x"}}, "create_service"),
    ("POST", "/regions", {"region": {"id": "x"}}, "create_region"),
    ("PATCH", "/endpoints/x", {"endpoint": {"url": "http://x"}}, "update_endpoint"),
    ("DELETE", "/projects/x", None, "delete_project"),
    ("DELETE", "/users/x", None, "delete_user"),
    ("PUT", "/projects/x/users/x/roles/x", None, "create_grant"),
    ("DELETE", "/projects/x/users/x/roles/x", None, "revoke_grant"),
]
STAFF_ONLY = [
    ("GET", "/users", None, "list_users"),
    ("GET", "/users/x", None, "get_user"),
    ("GET", "/projects/x", None, "get_project"),
    ("GET", "/roles", None, "list_roles"),
    ("GET", "/services", None, "list_services"),
    ("GET", "/endpoints", None, "list_endpoints"),
    ("GET", "/domains", None, "list_domains"),
    ("GET", "/role_assignments", None, "list_role_assignments"),
    ("GET", "/users/x/projects", None, "list_user_projects"),
]


@pytest.mark.parametrize(("method", "path", "body", "action"), ADMIN_ONLY + STAFF_ONLY)
def test_a_member_is_refused(demo: Api, method: str, path: str, body: dict[str, object] | None, action: str) -> None:
    answer = demo(method, path, body)
    assert answer.status_code == 403
    wanted = f"You are not authorized to perform the requested action: identity:{action}."
    assert answer.json() == {"error": {"code": 403, "title": "Forbidden", "message": wanted}}


@pytest.mark.parametrize(("method", "path", "body", "action"), ADMIN_ONLY)
def test_a_service_writes_nothing(
    cloud: Cloud, method: str, path: str, body: dict[str, object] | None, action: str
) -> None:
    assert cloud.as_again("nova")(method, path, body).status_code == 403, action


@pytest.mark.parametrize(("method", "path", "body", "action"), STAFF_ONLY)
def test_a_service_may_read(cloud: Cloud, method: str, path: str, body: dict[str, object] | None, action: str) -> None:
    assert cloud.as_again("nova")(method, path, body).status_code in (200, 404), action


def test_a_member_sees_her_own(person: Person) -> None:
    api, me, mine = person.sign_in(), person.user["id"], person.project["id"]
    assert api.ok("GET", f"/users/{me}")["user"]["id"] == me
    assert api.ok("GET", f"/projects/{mine}")["project"]["id"] == mine
    for path in ("/projects", "/auth/projects", f"/users/{me}/projects"):
        assert [row["id"] for row in api.ok("GET", path)["projects"]] == [mine]
    assert api.ok("GET", "/projects?name=admin")["projects"] == []
    assert len(api.ok("GET", f"/role_assignments?user.id={me}")["role_assignments"]) == 1
    assert api.ok("GET", "/regions")["regions"]
    assert api.ok("GET", "/domains/default")["domain"]["name"] == "Default"


def test_nobody_without_a_token(cloud: Cloud) -> None:
    for path in ("/v3/users", "/v3/projects", "/v3/auth/catalog", "/v3/regions", "/v3/credentials"):
        answer = cloud.http.get(path)
        assert answer.status_code == 401, path
        assert answer.json()["error"]["title"] == "Unauthorized"
        assert "WWW-Authenticate" in answer.headers
