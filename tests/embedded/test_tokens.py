"""Keystone as we run it: threads, a cache in the process, SQLite. What ends tokens, and what many at once do."""

import asyncio
import os
import socket
import subprocess
import time
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from infra.embedded.guessing import DELAY_S
from infra.identity import IdentityUnavailable, TokenFacts, TokenInvalid, TokenValidator, _Refused
from tests.embedded.people import Api, Make, Person
from tests.openstack import OpenStack
from tests.ports import free_port
from tests.signed_in import environment

AT_ONCE = 12


def test_requests_at_once_never_go_on_with_each_others_token(make: Make) -> None:
    people = [make() for _ in range(6)]
    tokens = [(who, who.sign_in()) for who in people]

    def ask(number: int) -> bool:
        """A user may see itself, and by the policy nobody but itself."""
        who, api = tokens[number % len(tokens)]
        mine = api("GET", f"/users/{who.user_id}")
        projects = api("GET", "/auth/projects").json()["projects"]
        return mine.status_code == 200 and [p["id"] for p in projects] == [who.project_id]

    with ThreadPoolExecutor(AT_ONCE) as pool:
        assert all(pool.map(ask, range(300)))


def test_application_credentials_of_many_users_at_once(openstack: OpenStack, admin: Api, make: Make) -> None:
    member = admin.role("member")

    def one(who: Person) -> tuple[int, int]:
        grant = f"/projects/{who.project_id}/users/{who.user_id}/roles/{member}"
        admin.ok("DELETE", grant)
        admin.ok("PUT", grant)
        path = f"/users/{who.user_id}/application_credentials"
        made = who.sign_in()("POST", path, {"application_credential": {"name": "c", "roles": [{"name": "reader"}]}})
        if made.status_code != 201:
            return made.status_code, 0
        credential = {key: made.json()["application_credential"][key] for key in ("id", "secret")}
        identity = {"methods": ["application_credential"], "application_credential": credential}
        url = f"{openstack.settings.identity_url}/auth/tokens"
        signed_in = httpx.post(url, json={"auth": {"identity": identity}}, timeout=60)
        token = signed_in.json()["token"]
        assert token["project"]["id"] == who.project_id and [r["name"] for r in token["roles"]] == ["reader"]
        return made.status_code, signed_in.status_code

    with ThreadPoolExecutor(AT_ONCE) as pool:
        people = list(pool.map(lambda _: make(), range(16)))
        assert Counter(pool.map(one, people)) == {(201, 201): 16}


@pytest.mark.parametrize("kind", ["project", "user"])
def test_of_equal_creations_at_once_one_wins_and_none_fails(admin: Api, kind: str) -> None:
    name = f"same-{uuid.uuid4().hex[:8]}"
    body = {kind: {"name": name, "domain_id": "default"}}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        statuses = Counter(pool.map(lambda _: admin("POST", f"/{kind}s", body).status_code, range(AT_ONCE)))
    assert statuses == {201: 1, 409: AT_ONCE - 1}


def test_deletions_at_once_lose_no_write(admin: Api) -> None:
    """Each reads first and writes then, in one transaction, which SQLite refuses when another wrote in between."""
    names = [f"gone-{uuid.uuid4().hex[:8]}" for _ in range(32)]
    with ThreadPoolExecutor(16) as pool:
        made = list(
            pool.map(lambda n: admin.ok("POST", "/projects", {"project": {"name": n, "domain_id": "default"}}), names)
        )
        paths = [f"/projects/{each['project']['id']}" for each in made]
        assert Counter(pool.map(lambda p: admin("DELETE", p).status_code, paths)) == {204: 32}
        assert Counter(pool.map(lambda p: admin("GET", p).status_code, paths)) == {404: 32}


@pytest.mark.asyncio
async def test_a_revoked_token_is_refused_by_our_services_within_seconds(openstack: OpenStack, make: Make) -> None:
    ours, api = TokenValidator(openstack.settings), make().sign_in()
    try:
        await ours.validate(api.token)
        api.ok("DELETE", "/auth/tokens", headers={"X-Subject-Token": api.token})
        begun = time.monotonic()
        with pytest.raises(TokenInvalid):
            while time.monotonic() < begun + 10:
                await ours.validate(api.token)
        assert time.monotonic() - begun <= openstack.settings.token_cache_s + 1
        with pytest.raises(TokenInvalid):
            ours.validate_now(api.token)
    finally:
        await ours.close()


@pytest.mark.asyncio
async def test_a_token_in_use_is_asked_about_before_its_answer_is_old(
    openstack: OpenStack, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The request that asks is served meanwhile; one that finds a fresh answer, or comes too late, asks as ever.

    Switched off by: `TokenValidator.validate` never asking ahead."""
    now, patient = time.monotonic, openstack.settings.model_copy(update={"token_cache_s": 1000.0})
    ours, api = TokenValidator(patient), make().sign_in()
    try:
        facts = await ours.validate(api.token)
        api.ok("DELETE", "/auth/tokens", headers={"X-Subject-Token": api.token})
        for _ in range(5):
            assert await ours.validate(api.token) is facts
            await asyncio.sleep(0.1)
        monkeypatch.setattr("infra.identity.time", SimpleNamespace(monotonic=lambda: now() + 800))
        assert await ours.validate(api.token) is facts
        with pytest.raises(TokenInvalid):
            async with asyncio.timeout(30):
                while await ours.validate(api.token):
                    await asyncio.sleep(0.05)
    finally:
        await ours.close()


@pytest.mark.asyncio
async def test_what_was_said_last_outlasts_identity_for_who_only_reports(
    openstack: OpenStack, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a token that was refused, has ended or was never seen nothing holds; nor of any for another request.

    Switched off by: `TokenValidator.outlasting` being `validate`."""
    now, ours, good, gone = time.monotonic, TokenValidator(openstack.settings), make().sign_in(), make().sign_in()
    later = SimpleNamespace(monotonic=lambda: now() + openstack.settings.token_cache_s)
    try:
        facts = await ours.outlasting(good.token)
        await ours.outlasting(gone.token)
        gone.ok("DELETE", "/auth/tokens", headers={"X-Subject-Token": gone.token})
        monkeypatch.setattr("infra.identity.time", later)
        with pytest.raises(TokenInvalid):
            await ours.outlasting(gone.token)
        monkeypatch.setattr(ours, "_url", f"http://127.0.0.1:{free_port()}/auth/tokens")
        later.monotonic = lambda: now() + 3 * openstack.settings.token_cache_s
        assert await ours.outlasting(good.token) is facts
        for ask, token in ((ours.validate, good), (ours.outlasting, gone), (ours.outlasting, make().sign_in())):
            with pytest.raises(IdentityUnavailable):
                await ask(token.token)
        facts.expires_at = "2026-01-01T00:00:00.000000Z"
        with pytest.raises(IdentityUnavailable):
            await ours.outlasting(good.token)
    finally:
        await ours.close()


@pytest.mark.asyncio
async def test_an_identity_that_hangs_keeps_no_report_waiting(
    openstack: OpenStack, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Switched off by: `TokenValidator.outlasting` waiting for as long as its question may take."""
    now, ours, good = time.monotonic, TokenValidator(openstack.settings), make().sign_in()
    with socket.create_server(("127.0.0.1", 0)) as hanging:
        try:
            facts = await ours.outlasting(good.token)
            monkeypatch.setattr("infra.identity.time", SimpleNamespace(monotonic=lambda: now() + 60))
            monkeypatch.setattr("infra.identity.OUTLASTING_S", 0.2)
            monkeypatch.setattr(ours, "_url", f"http://127.0.0.1:{hanging.getsockname()[1]}/auth/tokens")
            assert await ours.outlasting(good.token) is facts
            assert len(ours._asking) == 1, "it is still asked"
        finally:
            await ours.close()


@pytest.mark.asyncio
async def test_of_requests_at_once_with_one_token_one_asks(openstack: OpenStack, make: Make) -> None:
    """Each answer makes new facts, a refusal a new exception: that all have the same shows that there was one.

    Switched off by: `TokenValidator.validate`, or `validate_now`, asking for each."""
    ours, good, gone = TokenValidator(openstack.settings), make().sign_in(), make().sign_in()
    gone.ok("DELETE", "/auth/tokens", headers={"X-Subject-Token": gone.token})
    together = Barrier(AT_ONCE)

    def now() -> TokenFacts:
        together.wait(30)
        return ours.validate_now(good.token)

    try:
        facts = await asyncio.gather(*(ours.validate(good.token) for _ in range(AT_ONCE)))
        refusals = await asyncio.gather(*(ours.validate(gone.token) for _ in range(AT_ONCE)), return_exceptions=True)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            of_threads = [asked.result(30) for asked in [pool.submit(now) for _ in range(AT_ONCE)]]
        assert len({id(each) for each in facts}) == len({id(each) for each in of_threads}) == 1
        assert len({id(each) for each in refusals}) == 1 and isinstance(refusals[0], TokenInvalid)
        with pytest.raises(TokenInvalid):
            await ours.validate(gone.token)
    finally:
        await ours.close()


@pytest.mark.asyncio
async def test_a_refusal_is_believed_as_long_as_another_answer(
    openstack: OpenStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without it each request with a token that is none costs Keystone more than one with a good one.

    Switched off by: `_Refused` never holding what was added."""
    now, ours, forged = time.monotonic, TokenValidator(openstack.settings), "gAAAAABm" + "A" * 180
    try:
        with pytest.raises(TokenInvalid):
            await ours.validate(forged)
        monkeypatch.setattr(ours, "_url", f"http://127.0.0.1:{free_port()}/auth/tokens")
        with pytest.raises(TokenInvalid):
            await ours.validate(forged)
        with pytest.raises(TokenInvalid):
            ours.validate_now(forged)
        with pytest.raises(IdentityUnavailable):
            await ours.validate(forged + "A")
        later = openstack.settings.token_cache_s
        monkeypatch.setattr("infra.identity.time", SimpleNamespace(monotonic=lambda: now() + later))
        with pytest.raises(IdentityUnavailable):
            await ours.validate(forged)
    finally:
        await ours.close()


def test_refusals_that_are_remembered_are_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.identity.MOST_REFUSED", 3)
    refused = _Refused(60)
    for token in ("a", "b", "c", "a", "d"):
        refused.add(token)
    assert [token in refused for token in "abcd"] == [True, False, True, True]


def test_glance_refuses_a_revoked_token_within_seconds(openstack: OpenStack, make: Make) -> None:
    api = make().sign_in()
    api.ok("GET", "/v2/images", None, "image")
    api.ok("DELETE", "/auth/tokens", headers={"X-Subject-Token": api.token})
    begun = time.monotonic()
    while api("GET", "/v2/images", None, "image").status_code != 401:
        assert time.monotonic() - begun <= openstack.settings.token_cache_s + 1
        time.sleep(0.05)


def test_what_ends_tokens_ends_them_within_seconds(admin: Api, make: Make) -> None:
    def changed(who: Person, method: str, path: str, body: Any = None) -> bool:
        api, begun = who.sign_in(), time.monotonic()
        while not api.works():  # a token of the same second as a revocation falls under it
            assert time.monotonic() < begun + 5
            api = who.sign_in()
        admin.ok(method, path, body)
        begun = time.monotonic()
        while api.works():
            if time.monotonic() > begun + 5:
                return False
        return True

    who = make()
    grant = f"/projects/{who.project_id}/users/{who.user_id}/roles/{admin.role('member')}"
    assert changed(who, "DELETE", grant)
    admin.ok("PUT", grant)
    assert changed(who, "PATCH", f"/users/{who.user_id}", {"user": {"password": "another password"}})
    who.password = "another password"
    assert changed(who, "PATCH", f"/users/{who.user_id}", {"user": {"enabled": False}})
    admin.ok("PATCH", f"/users/{who.user_id}", {"user": {"enabled": True}})
    assert changed(who, "PATCH", f"/projects/{who.project_id}", {"project": {"enabled": False}})


def test_what_a_thread_read_for_a_former_request_keeps_no_token_alive(admin: Api, make: Make) -> None:
    """Mechanism: each request begins without a context (`infra.embedded.one_context_each`)."""
    for _ in range(4):
        who = make()
        api = who.sign_in()
        with ThreadPoolExecutor(AT_ONCE) as pool:
            assert any(pool.map(lambda _, api=api: api.works(), range(2 * AT_ONCE)))  # type: ignore[misc]
            grant = f"/projects/{who.project_id}/users/{who.user_id}/roles/{admin.role('member')}"
            admin.ok("DELETE", grant)
            time.sleep(0.2)
            assert not any(pool.map(lambda _, api=api: api.works(), range(2 * AT_ONCE)))  # type: ignore[misc]


def test_a_guessed_account_pauses_and_a_service_user_does_not(openstack: OpenStack, make: Make) -> None:
    who = make()
    assert [who.try_sign_in("a guess").status_code for _ in range(10)] == [401] * 10
    assert who.try_sign_in().status_code == 401
    nova = Person(openstack, "nova", "a guess", "", "")
    assert [nova.try_sign_in().status_code for _ in range(10)] == [401] * 10
    begun = time.monotonic()
    assert nova.try_sign_in().status_code == 401
    assert time.monotonic() - begun > DELAY_S, "it is never paused; whoever guesses waits"
    begun = time.monotonic()
    assert openstack.token("nova")
    assert time.monotonic() - begun < DELAY_S, "the right password does not wait"


def test_application_credentials_of_a_user_have_an_end(admin: Api, make: Make) -> None:
    """Issue: none was set, and each costs a row and a hash."""
    who = make()
    path, api = f"/users/{who.user_id}/application_credentials", who.sign_in()
    bodies = [{"application_credential": {"name": str(number), "secret": "x" * 8}} for number in range(51)]
    answers = [api("POST", path, body).status_code for body in bodies]
    assert answers == [201] * 50 + [403]


def test_tokens_outlive_a_rotation_and_new_ones_have_the_new_key(openstack: OpenStack, make: Make) -> None:
    from infra.fernet_keys import FernetKeys

    who = make()
    old = who.sign_in()
    for _ in range(3):
        FernetKeys.of(openstack.settings.state_dir).rotate()
        assert who.sign_in().works()
        assert old.works()


def test_the_client_signs_in_by_openrc_and_sets_up_a_project(openstack: OpenStack, openstack_client: str) -> None:
    name = f"cli-{uuid.uuid4().hex[:8]}"
    env = os.environ | environment(openstack.settings, "admin")

    def run(*words: str) -> str:
        done = subprocess.run([openstack_client, *words], env=env, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    run("project", "create", name)
    run("user", "create", "--password", "secret-1234", name)
    run("role", "add", "--project", name, "--user", name, "member")
    assert "member" in run("role", "assignment", "list", "--names", "--user", name)
    listed = run("catalog", "list", "-f", "value", "-c", "Type").split()
    assert set(listed) >= {"identity", "compute", "image", "network", "block-storage", "volumev3"}
