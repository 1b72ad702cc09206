"""Stands around the Placement API in every test: an answer that is not Placement's becomes a 555."""

import re
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from tests.compute.contract import INT, NULL, NUMBER, STR, UUID, At, By, Map, May, like, problems
from tests.exchanges import Exchange, judged, parsed

LINK = {"rel": like("self|inventories|usages|aggregates|traits|allocations"), "href": like(r"|/[A-Za-z0-9_/-]+")}
PROVIDER = {"uuid": UUID, "name": STR, "generation": INT, "links": [LINK], "parent_provider_uuid": At(NULL, 14),
            "root_provider_uuid": At(UUID, 14)}  # fmt: skip
INVENTORY = {"total": INT, "reserved": INT, "min_unit": INT, "max_unit": INT, "step_size": INT,
             "allocation_ratio": NUMBER}  # fmt: skip
GENERATION = {"resource_provider_generation": INT}
AMOUNTS = Map(INT)
TRAITS = [like("[A-Z0-9_]+")]
CLASS = {"name": like("[A-Z0-9_]+"), "links": [LINK]}
WHOSE = {"project_id": At(May(STR), 12), "user_id": At(May(STR), 12), "consumer_generation": At(May(INT), 28),
         "consumer_type": At(May(like("INSTANCE|MIGRATION")), 38)}  # fmt: skip
REQUEST = By(12, {"allocations": [{"resource_provider": {"uuid": UUID}, "resources": AMOUNTS}]},
             {"allocations": Map({"resources": AMOUNTS}), "mappings": At(Map([UUID]), 34)})  # fmt: skip
SUMMARY = {"resources": Map({"capacity": INT, "used": INT}), "traits": At(TRAITS, 17),
           "parent_provider_uuid": At(NULL, 29), "root_provider_uuid": At(UUID, 29)}  # fmt: skip
NOTHING = None

ROUTES: tuple[tuple[str, int, int, Any], ...] = (
    ("/", 200, 0, {"versions": [{"id": like("v1.0"), "status": STR, "min_version": STR, "max_version": STR,
                                 "links": [LINK]}]}),
    ("/resource_providers", 200, 0, {"resource_providers": [PROVIDER]}),
    ("/resource_providers/{id}", 200, 0, PROVIDER),
    ("/resource_providers/{id}/inventories", 200, 0, GENERATION | {"inventories": Map(INVENTORY)}),
    ("/resource_providers/{id}/inventories/{class}", 200, 0, GENERATION | INVENTORY),
    ("/resource_providers/{id}/usages", 200, 0, GENERATION | {"usages": AMOUNTS}),
    ("/resource_providers/{id}/aggregates", 200, 1,
     {"aggregates": [UUID], "resource_provider_generation": At(INT, 19)}),
    ("/resource_providers/{id}/traits", 200, 6, GENERATION | {"traits": TRAITS}),
    ("/resource_providers/{id}/allocations", 200, 0,
     GENERATION | {"allocations": Map({"resources": AMOUNTS, "consumer_generation": At(INT, 28)})}),
    ("/allocations/{id}", 200, 0, {"allocations": Map({"resources": AMOUNTS, "generation": INT}), **WHOSE}),
    ("/usages", 200, 9, {"usages": By(38, AMOUNTS, Map(AMOUNTS))}),
    ("/resource_classes", 200, 2, {"resource_classes": [CLASS]}),
    ("/resource_classes/{name}", 200, 2, CLASS),
    ("/traits", 200, 6, {"traits": TRAITS}),
    ("/traits/{name}", 204, 6, NOTHING),
    ("/allocation_candidates", 200, 10,
     {"allocation_requests": [REQUEST], "provider_summaries": Map(SUMMARY)}),
)  # fmt: skip
"""Path, status, first microversion and body of a GET that succeeds (Placement API reference)."""
ERROR = {"status": INT, "title": STR, "detail": STR, "request_id": like("req-.*"), "code": At(STR, 23),
         "min_version": May(STR), "max_version": May(STR)}  # fmt: skip
UNAUTHORIZED = {"error": {"code": INT, "title": STR, "message": STR}}


def violations(method: str, path: str, minor: int | None, seen: Exchange) -> list[str]:
    """`minor` is None where the answer names no microversion: what goes wrong outside of its negotiation."""
    body = parsed(seen.answered)
    if seen.status == 401:
        return problems(UNAUTHORIZED, body, 0, "error")
    if seen.status >= 400:
        error = ERROR | ({} if minor is not None else {"code": May(STR)})
        return problems({"errors": [error]}, body, minor or 0, "error")
    for known, status, first, schema in ROUTES:
        if method == "GET" and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", known), path):
            wrong = [] if minor is not None and minor >= first else [f"exists only since 1.{first}"]
            wrong += [] if status == seen.status else [f"status {seen.status}, not {status}"]
            dated = bool({"last-modified", "cache-control"} <= seen.headers.keys())
            wrong += [] if path == "/" or dated == ((minor or 0) >= 15) else ["last-modified"]
            if schema is NOTHING:
                return wrong + (["a body"] if body is not None else [])
            return wrong + problems(schema, body, minor or 0, "answer")
    return ["the API reference has no such success"]


class Contract:
    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] == "/openapi.json":
            await self.app(scope, receive, send)
            return

        def judge(seen: Exchange) -> str:
            told = re.fullmatch(r"placement 1\.(\d+)", seen.headers.get("openstack-api-version", ""))
            wrong = violations(scope["method"], scope["path"], int(told[1]) if told else None, seen)
            return f"at {told and told[0]}: {wrong[:6]}" if wrong else ""

        await judged(self.app, scope, receive, send, judge)
