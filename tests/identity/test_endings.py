"""What ends tokens: revocation, changes of password, user, project, roles; and that nothing else does."""

import time

from infra.fernet_keys import FernetKeys
from tests.identity.conftest import Api, Cloud, Person, role_id


def works(api: Api) -> bool:
    """Whether the token is good, asked in the way of the other services."""
    answer = api.validate(api.token)
    assert answer.status_code in (200, 401), answer.text
    return answer.status_code == 200


def test_a_revoked_token_is_refused_at_once_and_others_are_not(admin: Api, person: Person) -> None:
    first, second = person.sign_in(), person.sign_in()
    assert works(first) and works(second)
    assert first("DELETE", "/auth/tokens", X_Subject_Token=first.token).status_code == 204
    assert not works(first)
    assert works(second)
    assert admin.validate(first.token).status_code == 404
    assert person.cloud.by_token(first.token).status_code == 401


def test_admin_revokes_anybodys_token_and_a_member_only_her_own(admin: Api, demo: Api, person: Person) -> None:
    hers = person.sign_in()
    assert demo("DELETE", "/auth/tokens", X_Subject_Token=hers.token).status_code == 403
    assert works(hers)
    assert admin("DELETE", "/auth/tokens", X_Subject_Token=hers.token).status_code == 204
    assert not works(hers)


def test_own_password_change_ends_tokens(person: Person) -> None:
    api = person.sign_in()
    path = f"/users/{person.user['id']}/password"
    wrong = api("POST", path, {"user": {"password": "second", "original_password": "wrong"}})
    assert wrong.status_code == 401 and works(api)
    change = {"user": {"password": "second password", "original_password": person.password}}
    assert api("POST", path, change).status_code == 204
    assert not works(api)
    assert person.try_sign_in().status_code == 401
    assert person.try_sign_in("second password").status_code == 201


def test_password_set_by_admin_ends_tokens(admin: Api, person: Person) -> None:
    api = person.sign_in()
    admin.ok("PATCH", f"/users/{person.user['id']}", {"user": {"password": "other password"}})
    assert not works(api)
    assert person.try_sign_in("other password").status_code == 201


def test_a_disabled_user_stays_out_and_old_tokens_do_not_come_back(admin: Api, person: Person) -> None:
    api, path = person.sign_in(), f"/users/{person.user['id']}"
    admin.ok("PATCH", path, {"user": {"enabled": False}})
    assert not works(api)
    assert person.try_sign_in().status_code == 401
    admin.ok("PATCH", path, {"user": {"enabled": True}})
    assert not works(api)
    assert works(person.sign_in())


def test_a_disabled_project_ends_its_tokens(admin: Api, person: Person) -> None:
    api, path = person.sign_in(), f"/projects/{person.project['id']}"
    unscoped = person.cloud.as_(person.user["name"], person.password, None)
    admin.ok("PATCH", path, {"project": {"enabled": False}})
    assert not works(api)
    assert works(unscoped)
    assert person.try_sign_in().status_code == 401
    admin.ok("PATCH", path, {"project": {"enabled": True}})
    assert not works(api)
    assert works(person.sign_in())


def test_a_removed_role_ends_tokens_there_and_nowhere_else(admin: Api, person: Person) -> None:
    other = admin.make("project", name=f"{person.project['name']}-2", domain_id="default")
    grants = [f"/projects/{at['id']}/users/{person.user['id']}/roles" for at in (person.project, other)]
    member, reader = role_id(admin, "member"), role_id(admin, "reader")
    admin.ok("PUT", f"{grants[1]}/{member}")
    admin.ok("PUT", f"{grants[0]}/{reader}")
    here, there = (
        person.sign_in(),
        person.cloud.as_(person.user["name"], person.password, {"project": {"id": other["id"]}}),
    )
    admin.ok("DELETE", f"{grants[0]}/{member}")
    assert not works(here)
    assert works(there)
    again = person.sign_in()
    assert [role["name"] for role in again.validate(again.token).json()["token"]["roles"]] == ["reader"]
    admin.ok("PUT", f"{grants[0]}/{member}")
    assert not works(here)


def test_a_role_that_is_added_shows_in_tokens_that_exist(admin: Api, person: Person) -> None:
    api = person.sign_in()
    role = admin.make("role", name=f"auditor-{time.monotonic_ns()}")
    admin.ok("PUT", f"/projects/{person.project['id']}/users/{person.user['id']}/roles/{role['id']}")
    names = [row["name"] for row in api.validate(api.token).json()["token"]["roles"]]
    assert names == [role["name"], "member", "reader"]
    admin.ok("DELETE", f"/roles/{role['id']}")
    assert not works(api)


def test_deleted_things_end_tokens(admin: Api, person: Person) -> None:
    api = person.sign_in()
    admin.ok("DELETE", f"/projects/{person.project['id']}")
    assert not works(api)
    unscoped = person.cloud.as_(person.user["name"], person.password, None)
    admin.ok("DELETE", f"/users/{person.user['id']}")
    assert not works(unscoped)
    assert person.cloud.sign_in(person.user["name"], person.password, None).status_code == 401


def test_a_disabled_domain_ends_all_within(cloud: Cloud, admin: Api) -> None:
    domain = admin.make("domain", name=f"d-{time.monotonic_ns()}")
    project = admin.make("project", name="p", domain_id=domain["id"])
    user = admin.make("user", name="u", domain_id=domain["id"], password="pw")
    admin.ok("PUT", f"/projects/{project['id']}/users/{user['id']}/roles/{role_id(admin, 'member')}")
    who = {"name": "u", "domain": {"name": domain["name"]}, "password": "pw"}
    auth = {
        "identity": {"methods": ["password"], "password": {"user": who}},
        "scope": {"project": {"id": project["id"]}},
    }
    api = Api(cloud.http, cloud.post_auth(auth).headers["X-Subject-Token"])
    assert works(api)
    assert admin("DELETE", f"/domains/{domain['id']}").status_code == 403
    admin.ok("PATCH", f"/domains/{domain['id']}", {"domain": {"enabled": False}})
    assert not works(api)
    assert cloud.post_auth(auth).status_code == 401
    admin.ok("DELETE", f"/domains/{domain['id']}")
    for path in (f"/projects/{project['id']}", f"/users/{user['id']}", f"/domains/{domain['id']}"):
        assert admin("GET", path).status_code == 404


def test_rotation_keeps_old_tokens_until_their_key_goes(cloud: Cloud, admin: Api, demo: Api) -> None:
    keys = FernetKeys.of(cloud.settings.state_dir)
    old = demo.token  # sealed by whatever key is primary now
    assert admin.validate(old).status_code == 200
    for _ in range(3):
        keys.rotate(max_active_keys=5)
        fresh = cloud.as_("demo")
        assert admin.validate(old).status_code == 200
        assert fresh.validate(fresh.token).status_code == 200
    keys.rotate(max_active_keys=2)
    assert cloud.as_("admin").validate(old).status_code == 404
    assert cloud.sign_in("demo").status_code == 201


def test_guessing_pauses_an_account_and_the_pause_ends(person: Person) -> None:
    for _ in range(3):
        assert person.try_sign_in("a guess").status_code == 401
    assert person.try_sign_in().status_code == 401
    deadline = time.monotonic() + 10
    while person.try_sign_in().status_code != 201:
        assert time.monotonic() < deadline, "the pause never ended"
        time.sleep(0.2)


def test_service_users_cannot_be_locked_out(cloud: Cloud) -> None:
    for _ in range(4):
        assert cloud.sign_in("nova", "a guess").status_code == 401
    assert cloud.sign_in("nova").status_code == 201
