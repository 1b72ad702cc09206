"""Application credentials: making them, signing in with them, and what they may not do."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from tests.identity.conftest import Api, Cloud, Person, role_id

Json = dict[str, Any]


def make(api: Api, user_id: str, **values: Any) -> Json:
    body = {"application_credential": {"name": f"c-{time.monotonic_ns()}", **values}}
    made: Json = api.ok("POST", f"/users/{user_id}/application_credentials", body)["application_credential"]
    return made


def sign_in(cloud: Cloud, scope: Json | None = None, **credential: Any) -> httpx.Response:
    auth: Json = {"identity": {"methods": ["application_credential"], "application_credential": credential}}
    return cloud.post_auth(auth | ({"scope": scope} if scope else {}))


def test_signing_in_by_id_and_by_name(cloud: Cloud, person: Person) -> None:
    made = make(person.sign_in(), person.user["id"])
    by_id = sign_in(cloud, id=made["id"], secret=made["secret"])
    user = {"name": person.user["name"], "domain": {"id": "default"}}
    by_name = sign_in(cloud, name=made["name"], user=user, secret=made["secret"])
    for answer in (by_id, by_name):
        token = answer.json()["token"]
        assert answer.status_code == 201
        assert token["methods"] == ["application_credential"]
        assert token["project"]["id"] == person.project["id"]
        assert token["application_credential"] == {"id": made["id"], "name": made["name"], "restricted": True}
    assert sign_in(cloud, id=made["id"], secret="wrong").status_code == 401
    assert sign_in(cloud, id="0" * 32, secret=made["secret"]).status_code == 401
    assert sign_in(cloud, person.scope, id=made["id"], secret=made["secret"]).status_code == 401


def test_the_secret_is_shown_once(person: Person) -> None:
    api = person.sign_in()
    made = make(api, person.user["id"], secret="chosen by me")
    path = f"/users/{person.user['id']}/application_credentials"
    assert made["secret"] == "chosen by me"
    shown = api.ok("GET", f"{path}/{made['id']}")["application_credential"]
    listed = api.ok("GET", path)["application_credentials"]
    assert [row["id"] for row in listed] == [made["id"]]
    assert "chosen by me" not in str((shown, listed)) and "secret" not in shown


def test_roles_are_a_part_of_the_tokens(cloud: Cloud, admin: Api, person: Person) -> None:
    api = person.sign_in()
    made = make(api, person.user["id"], roles=[{"name": "reader"}])
    token = sign_in(cloud, id=made["id"], secret=made["secret"]).json()["token"]
    assert [role["name"] for role in token["roles"]] == ["reader"]
    body = {"application_credential": {"name": "more", "roles": [{"id": role_id(admin, "admin")}]}}
    refused = api("POST", f"/users/{person.user['id']}/application_credentials", body)
    assert refused.status_code == 400


def test_deletion_ends_tokens_and_sign_ins(cloud: Cloud, person: Person) -> None:
    api = person.sign_in()
    made = make(api, person.user["id"])
    token = sign_in(cloud, id=made["id"], secret=made["secret"]).headers["X-Subject-Token"]
    assert Api(cloud.http, token).validate(token).status_code == 200
    api.ok("DELETE", f"/users/{person.user['id']}/application_credentials/{made['id']}")
    assert Api(cloud.http, token).validate(token).status_code == 401
    assert sign_in(cloud, id=made["id"], secret=made["secret"]).status_code == 401


def test_a_restricted_one_makes_no_others_and_stays_in_its_project(cloud: Cloud, person: Person) -> None:
    api = person.sign_in()
    path = f"/users/{person.user['id']}/application_credentials"
    restricted, free = make(api, person.user["id"]), make(api, person.user["id"], unrestricted=True)
    tokens = [
        sign_in(cloud, id=made["id"], secret=made["secret"]).headers["X-Subject-Token"] for made in (restricted, free)
    ]
    body = {"application_credential": {"name": "child"}}
    assert Api(cloud.http, tokens[0])("POST", path, body).status_code == 403
    assert Api(cloud.http, tokens[0])("DELETE", f"{path}/{free['id']}").status_code == 403
    assert Api(cloud.http, tokens[1])("POST", path, body).status_code == 201
    same = cloud.by_token(tokens[0], person.scope)
    assert same.json()["token"]["application_credential"]["id"] == restricted["id"]
    assert cloud.by_token(tokens[0], {"project": {"name": "demo", "domain": {"id": "default"}}}).status_code == 401
    assert cloud.by_token(tokens[0], {"unscoped": {}}).status_code == 401


def test_losing_the_role_removes_them(cloud: Cloud, admin: Api, person: Person) -> None:
    made = make(person.sign_in(), person.user["id"])
    grant = f"/projects/{person.project['id']}/users/{person.user['id']}/roles/{role_id(admin, 'member')}"
    admin.ok("DELETE", grant)
    admin.ok("PUT", grant)
    assert sign_in(cloud, id=made["id"], secret=made["secret"]).status_code == 401


def test_expiry(cloud: Cloud, person: Person) -> None:
    api, path = person.sign_in(), f"/users/{person.user['id']}/application_credentials"
    past = {"application_credential": {"name": "past", "expires_at": "2020-01-01T00:00:00.000000"}}
    assert api("POST", path, past).status_code == 400
    soon = datetime.now(UTC) + timedelta(seconds=1.5)
    made = make(api, person.user["id"], expires_at=soon.isoformat())
    token = sign_in(cloud, id=made["id"], secret=made["secret"])
    expires = datetime.fromisoformat(token.json()["token"]["expires_at"])
    assert abs((expires - soon).total_seconds()) < 0.001
    time.sleep(max(0.0, (soon - datetime.now(UTC)).total_seconds()) + 0.05)
    text = token.headers["X-Subject-Token"]
    assert Api(cloud.http, text).validate(text).status_code == 401
    assert sign_in(cloud, id=made["id"], secret=made["secret"]).status_code == 401


def test_allow_expired_is_for_those_who_have_a_good_token(cloud: Cloud, person: Person) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=0.6)
    made = make(person.sign_in(), person.user["id"], expires_at=soon.isoformat())
    text = sign_in(cloud, id=made["id"], secret=made["secret"]).headers["X-Subject-Token"]
    time.sleep(0.8)
    service, own = cloud.as_("nova"), Api(cloud.http, text)
    assert service.validate(text).status_code == 404
    assert service.validate(text, "?allow_expired=1").json()["token"]["user"]["id"] == person.user["id"]
    assert own.validate(text, "?allow_expired=1").status_code == 401


def test_only_for_oneself(cloud: Cloud, admin: Api, demo: Api, person: Person) -> None:
    path = f"/users/{person.user['id']}/application_credentials"
    body = {"application_credential": {"name": "theirs"}}
    assert demo("POST", path, body).status_code == 403
    assert admin("POST", path, body).status_code == 403
    assert demo("GET", path).status_code == 403
    api = person.sign_in()
    api.ok("POST", path, body)
    assert api("POST", path, body).status_code == 409
    assert api("GET", f"{path}/{'0' * 32}").json()["error"]["message"] == (
        f"Could not find Application Credential: {'0' * 32}."
    )
    unscoped = cloud.as_(person.user["name"], person.password, None)
    assert unscoped("POST", path, {"application_credential": {"name": "no project"}}).status_code == 400
