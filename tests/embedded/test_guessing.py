"""Wrong passwords are answered late, without a thread that waits; right ones are not."""

import asyncio
import json
from typing import Any

import pytest

from infra.embedded import guessing
from infra.embedded.guessing import LateAnswers

RIGHT = "right"


async def keystone(scope: Any, receive: Any, send: Any) -> None:
    """Knows one password for everybody, and answers in two parts."""
    told = json.loads((await receive())["body"])
    user = told["auth"]["identity"].get("password", {}).get("user", {})
    await send({"type": "http.response.start", "status": 201 if user.get("password") == RIGHT else 401, "headers": []})
    await send({"type": "http.response.body", "body": b"{}"})


class Client:
    def __init__(self) -> None:
        self.app, self.slept = LateAnswers(keystone), list[float]()

    def asks(self, name: str, password: str, path: str = "/v3/auth/tokens", **identity: Any) -> int:
        user = {"name": name, "password": password}
        body = json.dumps({"auth": {"identity": identity or {"password": {"user": user}}}}).encode()
        told: list[Any] = []

        async def receive() -> Any:
            return {"type": "http.request", "body": body}

        async def send(message: Any) -> None:
            told.append(message)

        asyncio.run(self.app({"type": "http", "method": "POST", "path": path}, receive, send))
        assert [message["type"] for message in told] == ["http.response.start", "http.response.body"]
        return int(told[0]["status"])


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Client:
    found = Client()

    async def sleep(seconds: float) -> None:
        found.slept.append(seconds)

    monkeypatch.setattr("infra.embedded.guessing.asyncio.sleep", sleep)
    return found


def test_further_guesses_are_answered_late_and_the_right_password_is_not(client: Client) -> None:
    assert [client.asks("nova", "a guess") for _ in range(12)] == [401] * 12
    assert client.slept == [0.0] * 10 + [guessing.DELAY_S] * 2
    assert client.asks("nova", RIGHT) == 201 and len(client.slept) == 12
    assert client.asks("glance", "a guess") == 401 and client.slept[-1] == 0.0, "of each user alone"


def test_guesses_of_long_ago_cost_nothing(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("infra.embedded.guessing.time.monotonic", lambda: now)
    for _ in range(10):
        client.asks("nova", "a guess")
    now += guessing.WINDOW_S
    client.asks("nova", "a guess")
    assert set(client.slept) == {0.0}


def test_what_is_no_password_counts_together_and_users_are_bounded(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guessing, "USERS", 3)
    for _ in range(11):
        client.asks("", "", token={"id": "x"})
    assert client.slept[-1] == guessing.DELAY_S
    for name in "abc":
        client.asks(name, "a guess")
    assert list(client.app._failures) == ["a", "b", "c"]
    client.asks("nova", "a guess", path="/v3/users")
    assert len(client.slept) == 14, "another request"
