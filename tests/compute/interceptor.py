"""Stands around the compute service in every test: what is not Nova's, asked or answered, becomes a 555."""

import re
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from tests.compute.contract import By, problems
from tests.compute.routes import ACTIONS, ROUTES
from tests.exchanges import Exchange, judged, parsed

KINDS = {400: "badRequest", 403: "forbidden", 404: "itemNotFound", 405: "badMethod", 409: "conflictingRequest",
         413: "overLimit", 415: "badMediaType", 501: "notImplemented", 503: "serviceUnavailable"}  # fmt: skip
OURS = re.compile(r"/v2\.1/kilonova/.*|/openapi\.json|/v2(/.*)?|/v2\.1/?|/", re.DOTALL)
"""Routes that Nova does not have, documents, and version 2.0, which asks for less."""
PROJECT = re.compile(r"^/[0-9a-f]{32}(?=/)")


def violations(method: str, path: str, minor: int, asked: bytes, status: int, answer: bytes) -> list[str]:
    """Everything about one exchange that Nova's API reference does not have."""
    body, given = parsed(answer), parsed(asked)
    if status >= 400:
        return _error(status, body)
    if method == "POST" and re.fullmatch(r"/servers/[^/]+/action", path) and isinstance(given, dict):
        expected, schema = ACTIONS.get(next(iter(given)), (202, None))
        return ([] if status == expected else [f"status {status}, not {expected}"]) + _body(schema, body, minor)
    known = [route for route in ROUTES if route.method == method and route.pattern.fullmatch(path)]
    fitting = [route for route in known if route.status == status]
    if not fitting:
        return [f"status {status}, not {known[0].status}" if known else "the API reference has no such route"]
    route = fitting[0]
    wrong = [] if route.asked is None or given is None else problems(route.asked, given, minor, "request")
    return wrong + _body(route.body, body, minor)


def _body(schema: Any, body: Any, minor: int) -> list[str]:
    if isinstance(schema, By):
        schema = schema.before if minor < schema.since else schema.after
    if schema is None:
        return [] if body is None else ["answer: nothing is expected"]
    return problems(schema, body, minor, "answer")


def _error(status: int, body: Any) -> list[str]:
    if not isinstance(body, dict) or len(body) != 1:
        return [f"error body {body!r:.80}"]
    ((name, error),) = body.items()
    expected = "error" if status == 401 else KINDS.get(status, "computeFault")
    wrong = [] if name == expected else [f"error is called {name}, not {expected}"]
    if not isinstance(error, dict) or error.get("code") != status or not isinstance(error.get("message"), str):
        wrong.append(f"error {error!r:.80}")
    return wrong


class Contract:
    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or OURS.fullmatch(scope["path"]):
            await self.app(scope, receive, send)
            return
        path = PROJECT.sub("", scope["path"].removeprefix("/v2.1"), count=1)

        def judge(seen: Exchange) -> str:
            minor = int(seen.headers.get("x-openstack-nova-api-version", "2.1").partition(".")[2])
            wrong = violations(scope["method"], path, minor, seen.asked, seen.status, seen.answered)
            wrong += [name for name in REQUEST_IDS if not seen.headers.get(name, "").startswith("req-")]
            return f"at 2.{minor}: {wrong[:6]}" if wrong else ""

        await judged(self.app, scope, receive, send, judge)


REQUEST_IDS = ("x-openstack-request-id", "x-compute-request-id")
