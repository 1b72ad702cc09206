"""Many at once: one name is given once, sign-ins stay within their memory, writes are seen by validations at once."""

import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.identity.conftest import Api, Cloud, Person


@pytest.mark.parametrize("kind", ["user", "project", "role"])
def test_one_of_many_equal_creations_wins(cloud: Cloud, admin: Api, kind: str) -> None:
    name = f"same-{time.monotonic_ns()}"

    def create(_: int) -> int:
        body = {kind: {"name": name}}
        url = cloud.settings.url("identity", f"/v3/{kind}s")
        return httpx.post(url, json=body, headers={"X-Auth-Token": admin.token}, timeout=30).status_code

    with ThreadPoolExecutor(12) as pool:
        results = sorted(pool.map(create, range(12)))
    assert results == [201] + [409] * 11
    assert len(admin.ok("GET", f"/{kind}s?name={name}")[f"{kind}s"]) == 1


def test_validation_goes_on_while_many_sign_in(cloud: Cloud, demo: Api) -> None:
    url = cloud.settings.url("identity", "/v3/auth/tokens")
    who = {"name": "demo", "domain": {"id": "default"}, "password": "wrong"}
    service = {**who, "name": "nova"}
    body = {"auth": {"identity": {"methods": ["password"], "password": {"user": service}}}}
    with ThreadPoolExecutor(50) as pool:
        signing = [pool.submit(httpx.post, url, json=body, timeout=60) for _ in range(50)]
        time.sleep(0.2)
        assert not all(future.done() for future in signing)
        begun = time.monotonic()
        assert demo.validate(demo.token).status_code == 200
        took = time.monotonic() - begun
        waiting = sum(not future.done() for future in signing)
        assert {future.result().status_code for future in signing} == {401}
    assert took < 1.0 and waiting > 0


def test_a_burst_of_guesses_gets_no_more_tries_than_one_after_another(person: Person) -> None:
    """The right password is among the guesses that run while the account pauses: it must not get in late."""
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: person.try_sign_in(f"guess {n}"), range(8)))
        late = list(pool.map(lambda _: person.try_sign_in().status_code, range(4)))
    assert late == [401] * 4


def test_what_one_answer_confirmed_the_next_one_knows(admin: Api, person: Person) -> None:
    path = f"/users/{person.user['id']}"
    for _ in range(10):
        api = person.sign_in()
        assert api.validate(api.token).status_code == 200
        admin.ok("PATCH", path, {"user": {"enabled": False}})
        assert api.validate(api.token).status_code == 401
        admin.ok("PATCH", path, {"user": {"enabled": True}})
