"""Issuing and validating tokens: bodies, scopes, methods, headers, and every way to be refused."""

import re
from typing import Any

import pytest

from tests.identity.conftest import Api, Cloud, Person

TIME = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$")


def test_a_scoped_token_has_keystones_body(cloud: Cloud) -> None:
    answer = cloud.sign_in("admin")
    token = answer.json()["token"]
    text = answer.headers["X-Subject-Token"]
    assert answer.status_code == 201
    assert answer.headers["Vary"] == "X-Auth-Token"
    assert re.fullmatch(r"gAAAA[\w-]{100,250}", text)
    assert token["methods"] == ["password"]
    assert token["user"]["name"] == "admin"
    assert token["user"]["domain"] == {"id": "default", "name": "Default"}
    assert token["project"]["name"] == "admin"
    assert token["project"]["domain"] == {"id": "default", "name": "Default"}
    assert [role["name"] for role in token["roles"]] == ["admin", "member", "reader"]
    assert TIME.match(token["issued_at"]) and TIME.match(token["expires_at"])
    assert len(token["audit_ids"]) == 1


def test_the_catalog_has_every_service_with_three_interfaces(cloud: Cloud) -> None:
    catalog = {entry["type"]: entry for entry in cloud.sign_in("demo").json()["token"]["catalog"]}
    assert set(catalog) == {"identity", "compute", "image", "network", "block-storage", "volumev3"}
    for entry in catalog.values():
        assert {endpoint["interface"] for endpoint in entry["endpoints"]} == {"public", "internal", "admin"}
        for endpoint in entry["endpoints"]:
            assert set(endpoint) == {"id", "interface", "region", "region_id", "url"}
            assert endpoint["region"] == endpoint["region_id"] == "RegionOne"
    port = cloud.settings.port("compute")
    assert catalog["compute"]["endpoints"][0]["url"] == f"http://127.0.0.1:{port}/v2.1"


def test_nocatalog_leaves_the_catalog_out(cloud: Cloud, demo: Api) -> None:
    assert "catalog" in demo.validate(demo.token).json()["token"]
    assert "catalog" not in demo.validate(demo.token, "?nocatalog").json()["token"]
    body = {"auth": {"identity": {"methods": ["token"], "token": {"id": demo.token}}}}
    assert "catalog" not in cloud.http.post("/v3/auth/tokens?nocatalog", json=body).json()["token"]


def test_an_unscoped_token_has_neither_roles_nor_catalog(cloud: Cloud) -> None:
    for scope in (None, {"unscoped": {}}, "unscoped"):
        answer = cloud.sign_in("demo", scope=scope)
        assert answer.status_code == 201
        assert not {"project", "roles", "catalog"} & set(answer.json()["token"])


def test_a_domain_scoped_token(cloud: Cloud, admin: Api, person: Person) -> None:
    domain = {"domain": {"name": "Default"}}
    assert cloud.sign_in(person.user["name"], person.password, domain).status_code == 401
    reader = admin.ok("GET", "/roles?name=reader")["roles"][0]["id"]
    admin.ok("PUT", f"/domains/default/users/{person.user['id']}/roles/{reader}")
    token = cloud.sign_in(person.user["name"], person.password, domain).json()["token"]
    assert token["domain"] == {"id": "default", "name": "Default"}
    assert [role["name"] for role in token["roles"]] == ["reader"]


def test_a_token_is_exchanged_for_another_scope(cloud: Cloud) -> None:
    unscoped = cloud.sign_in("demo", scope=None)
    scope = {"project": {"name": "demo", "domain": {"id": "default"}}}
    scoped = cloud.by_token(unscoped.headers["X-Subject-Token"], scope)
    before, after = unscoped.json()["token"], scoped.json()["token"]
    assert scoped.status_code == 201
    assert after["methods"] == ["password", "token"]
    assert after["expires_at"] == before["expires_at"]
    assert after["audit_ids"][1] == before["audit_ids"][0] != after["audit_ids"][0]
    other = {"project": {"name": "admin", "domain": {"id": "default"}}}
    assert cloud.by_token(unscoped.headers["X-Subject-Token"], other).status_code == 401


def test_a_default_project_is_taken_when_no_scope_is_asked_for(cloud: Cloud, admin: Api, person: Person) -> None:
    admin.ok("PATCH", f"/users/{person.user['id']}", {"user": {"default_project_id": person.project["id"]}})
    token = cloud.sign_in(person.user["name"], person.password, None).json()["token"]
    assert token["project"]["id"] == person.project["id"]
    token = cloud.sign_in(person.user["name"], person.password, {"unscoped": {}}).json()["token"]
    assert "project" not in token


def test_who_may_validate(cloud: Cloud, admin: Api, demo: Api) -> None:
    service = cloud.as_("nova")
    assert demo.validate(demo.token).status_code == 200
    assert admin.validate(demo.token).status_code == 200
    assert service.validate(demo.token).json()["token"]["user"]["name"] == "demo"
    refused = demo.validate(admin.token)
    assert refused.status_code == 403
    assert refused.json()["error"] == {
        "code": 403,
        "title": "Forbidden",
        "message": "You are not authorized to perform the requested action: identity:validate_token.",
    }


def test_head_answers_without_a_body(admin: Api, demo: Api) -> None:
    good = admin("HEAD", "/auth/tokens", X_Subject_Token=demo.token)
    assert (good.status_code, good.content) == (200, b"")
    assert admin("HEAD", "/auth/tokens", X_Subject_Token="gAAAAAnonsense").status_code == 404


def test_bad_tokens(cloud: Cloud, admin: Api) -> None:
    forged = admin.token[:-6] + ("AAAAAA" if admin.token[-6:] != "AAAAAA" else "BBBBBB")
    for bad in (forged, "gAAAA", "x" * 5000, admin.token + "\xe9", admin.token[:60]):
        assert admin.validate(bad).status_code == 404, bad
        refused = Api(cloud.http, bad)("GET", "/users")
        assert refused.status_code == 401
        assert refused.headers["WWW-Authenticate"].startswith("Keystone uri=")
    assert cloud.http.get("/v3/auth/tokens").status_code == 401
    assert admin("GET", "/auth/tokens").status_code == 400


@pytest.mark.parametrize(
    "scope",
    [
        {"project": {"name": "admin", "domain": {"id": "default"}}},
        {"project": {"name": "nowhere", "domain": {"id": "default"}}},
        {"project": {"id": "0" * 32}},
        {"project": {"name": "demo", "domain": {"name": "No such"}}},
        {"domain": {"id": "default"}},
    ],
)
def test_a_scope_without_a_role_is_refused_in_one_way(cloud: Cloud, scope: dict[str, Any]) -> None:
    answer = cloud.sign_in("demo", scope=scope)
    assert answer.status_code == 401
    assert answer.json()["error"]["message"] == "The request you have made requires authentication."


def test_wrong_password_and_unknown_user_look_alike(cloud: Cloud, person: Person) -> None:
    wrong, unknown = person.try_sign_in("not it"), cloud.sign_in("nobody", "not it", None)
    assert wrong.status_code == unknown.status_code == 401
    assert wrong.json() == unknown.json()
    assert wrong.json()["error"]["title"] == "Unauthorized"


@pytest.mark.parametrize(
    ("auth", "status"),
    [
        ({}, 400),
        ({"identity": {}}, 400),
        ({"identity": {"methods": []}}, 400),
        ({"identity": {"methods": ["password"]}}, 400),
        ({"identity": {"methods": ["totp"]}}, 401),
        ({"identity": {"methods": ["password"], "password": {"user": {"name": "demo", "password": "x"}}}}, 400),
        ({"identity": {"methods": ["password"], "password": {"user": {"id": "demo", "password": 7}}}}, 400),
        ({"identity": {"methods": ["password"], "password": {"user": {"id": "a\x00b", "password": "x"}}}}, 400),
        ({"identity": {"methods": ["token"], "token": {"id": "nonsense"}}}, 401),
    ],
)
def test_malformed_sign_ins(cloud: Cloud, auth: dict[str, Any], status: int) -> None:
    answer = cloud.post_auth(auth)
    assert answer.status_code == status, answer.text
    assert set(answer.json()["error"]) == {"code", "title", "message"}


def test_what_is_not_built_says_so(cloud: Cloud, admin: Api) -> None:
    assert cloud.sign_in("admin", scope={"system": {"all": True}}).status_code == 501
    assert cloud.sign_in("admin", scope={"OS-TRUST:trust": {"id": "x"}}).status_code == 501
    for path in ("/credentials", "/OS-TRUST/trusts", "/limits", "/policies"):
        assert admin("GET", path).json()["error"]["code"] == 501, path
    assert admin("POST", "/groups", {"group": {"name": "g"}}).status_code == 501
    assert admin.ok("GET", "/groups")["groups"] == []
    assert admin("GET", "/nothing-like-that").status_code == 404
