"""Stands around the volume service in every test: what is not Cinder's, asked or answered, becomes a 555."""

import re
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from api.volume.microversion import MAXIMUM
from tests.exchanges import Exchange, judged, parsed
from tests.volume.contract import Version, error_problems, problems
from tests.volume.routes import ACTIONS, ROUTES

PROJECT = re.compile(r"^/v3/[0-9a-f]{32}(?=/)")


def version_of(scope: Scope) -> Version:
    headers = {name.decode().lower(): value.decode("latin-1") for name, value in scope["headers"]}
    wanted = headers.get("openstack-api-version", "")
    match = re.search(r"volume\s+(\d{1,3})\.(\d{1,3})", wanted)
    return (int(match[1]), int(match[2])) if match else (MAXIMUM if "volume latest" in wanted else (3, 0))


def violations(method: str, path: str, version: Version, asked: bytes, status: int, answer: bytes) -> list[str]:
    """Everything about one exchange that Cinder's API reference does not have."""
    body, given = parsed(answer), parsed(asked)
    if status >= 400:
        return error_problems(status, body)
    if method == "POST" and re.fullmatch(r"/volumes/[^/]+/action", path) and isinstance(given, dict):
        return _of_action(given, version, status, body)
    for route in ROUTES:
        if route.matches(method, path):
            wrong = [] if version >= route.since else [f"exists only since {route.since}"]
            wrong += [] if status == route.status else [f"status {status}, not {route.status}"]
            wrong += _empty(body) if route.body is None else problems(route.body, body, version, "answer")
            return wrong + (problems(route.asked, given, version, "request") if route.asked is not None else [])
    return ["the API reference has no such route"]


def _of_action(given: dict[str, Any], version: Version, status: int, body: Any) -> list[str]:
    (name,) = given
    if name not in ACTIONS:
        return [f"the API reference has no action {name}"]
    expected, schema, since = ACTIONS[name]
    wrong = [] if version >= since else [f"{name} exists only since {since}"]
    wrong += [] if status == expected else [f"status {status}, not {expected}"]
    return wrong + (_empty(body) if schema is None else problems(schema, body, version, name))


def of_headers(status: int, headers: dict[str, str], version: Version) -> list[str]:
    """The ids of the request, and the version at which it is answered; a refusal may be older than its negotiation."""
    names = ("x-openstack-request-id", "x-compute-request-id")
    wrong = [name for name in names if not headers.get(name, "").startswith("req-")]
    told = headers.get("openstack-api-version")
    if told != f"volume {version[0]}.{version[1]}" and (status < 400 or told is not None):
        wrong.append(f"answered at {told}")
    varies = {name.strip().lower() for name in headers.get("vary", "").split(",")}
    return wrong + ([] if told is None or "openstack-api-version" in varies else ["no Vary"])


def _empty(body: Any) -> list[str]:
    return [] if body is None else [f"answer: nothing is expected, not {body!r:.60}"]


class Contract:
    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = PROJECT.sub("/v3", scope.get("path", ""))
        if scope["type"] != "http" or not path.startswith("/v3/") or path == "/v3/":
            await self.app(scope, receive, send)
            return
        method, version = scope["method"], version_of(scope)

        def judge(seen: Exchange) -> str:
            wrong = violations(method, path[3:], version, seen.asked, seen.status, seen.answered)
            wrong += of_headers(seen.status, seen.headers, version)
            return f"at {version}: {wrong[:6]}" if wrong else ""

        await judged(self.app, scope, receive, send, judge)
