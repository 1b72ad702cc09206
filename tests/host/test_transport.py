"""Requests to other services: the short way says what the long one says, and nobody's passwords go along."""

from pathlib import Path

import pytest
import requests

from infra.transport import Transport

URL = "http://127.0.0.1:8774/v2.1/kilonova/hosts/a b/claims/ü?x=1&y=%20"
HEADERS = {"X-Auth-Token": "secret", "user-agent": "nova", "Accept": "application/json"}


@pytest.mark.parametrize("method", ["get", "DELETE", "POST"])
@pytest.mark.parametrize(
    "more",
    [
        {},
        {"headers": HEADERS},
        {"headers": {**HEADERS, "Accept": None}},
        {"json": {"a": 1}, "headers": HEADERS},
        {"data": "x"},
        {"params": {"limit": 2}},
    ],
)
def test_a_request_is_what_requests_makes_of_it(method: str, more: dict[str, object]) -> None:
    wanted = requests.Session().prepare_request(requests.Request(method, URL, **more))  # type: ignore[arg-type]
    made = Transport().prepare_request(requests.Request(method, URL, **more))  # type: ignore[arg-type]
    assert (made.method, made.url, made.headers, made.body) == (wanted.method, wanted.url, wanted.headers, wanted.body)


def test_a_cookie_is_sent_back() -> None:
    transport = Transport()
    transport.cookies.set("balancer", "two", domain="127.0.0.1", path="/")
    assert transport.prepare_request(requests.Request("GET", "http://127.0.0.1/")).headers["Cookie"] == "balancer=two"


@pytest.mark.parametrize("body", [None, {"a": 1}])
def test_passwords_of_netrc_stay_where_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: dict[str, int] | None
) -> None:
    """Switched off by: a session without `auth` of its own."""
    (tmp_path / "netrc").write_text("default login root password hunter2\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    asked = requests.Request("POST", "http://127.0.0.1/", json=body)
    assert "Authorization" in requests.Session().prepare_request(asked).headers
    assert "Authorization" not in Transport().prepare_request(asked).headers
