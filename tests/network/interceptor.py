"""Stands around the network service in every test: an answer that is not Neutron's becomes a 555."""

import re
from urllib.parse import parse_qs

from starlette.types import ASGIApp, Receive, Scope, Send

from tests.exchanges import Exchange, judged, parsed
from tests.network.shapes import asked_too_much, violations

OURS = re.compile(r"/v2\.0/kilonova/.*|/openapi\.json|/", re.DOTALL)
"""Routes that Neutron does not have, and the document of versions."""


def judge(seen: Exchange) -> str:
    scope, fields = seen.scope, parse_qs(seen.scope["query_string"].decode("latin-1")).get("fields", [])
    path = scope["path"].removeprefix("/v2.0")
    wrong = violations(scope["method"], path, set(fields), seen.status, parsed(seen.answered))
    if seen.status < 300 and scope["method"] in ("POST", "PUT"):
        wrong += asked_too_much(parsed(seen.asked), parsed(seen.answered))
    wrong += [] if seen.headers.get("x-openstack-request-id", "").startswith("req-") else ["no x-openstack-request-id"]
    return f"answered {seen.status}: {wrong[:6]}" if wrong else ""


class Contract:
    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or OURS.fullmatch(scope["path"]):
            await self.app(scope, receive, send)
        else:
            await judged(self.app, scope, receive, send, judge)
