"""Microversions: negotiation of the number, and the version documents (Compute API reference, "API versions")."""

import re
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from api.common import parsers
from api.common.errors import ServiceError
from api.common.microversions import HEADER as STANDARD
from api.common.microversions import OutOfRange, Range, stamped
from api.compute.errors import render

MINIMUM, MAXIMUM = 1, 104
LEGACY = "X-OpenStack-Nova-API-Version"
PROJECT = re.compile(r"^/v2\.1/([0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?=/|$)")
LEGACY_PATH = re.compile(r"/v2(?=/|$)")

router = APIRouter()


def negotiate(headers: Headers) -> int:
    """The minor number to answer with; raises 400 for a malformed number and 406 for one out of range."""
    wanted = parsers.version_asked_for(headers.get(STANDARD.lower(), ""), "compute")
    wanted = wanted or headers.get(LEGACY.lower(), "").strip()
    try:
        return Range(2, MINIMUM, MAXIMUM).minor(wanted)
    except parsers.Malformed:
        words = f"API Version String {wanted[:20]} is of invalid format. Must be of format MajorNum.MinorNum."
        raise ServiceError(400, words) from None
    except OutOfRange:
        words = f"Version {wanted} is not supported by the API. Minimum is 2.{MINIMUM} and maximum is 2.{MAXIMUM}."
        raise ServiceError(406, words) from None


class Microversions:
    """Puts the negotiated number into the request's state (`microversion`) and into every answer's headers.

    Below /v2 it is version 2.0 of the API: 2.1 whatever the headers say, unknown attributes ignored (`legacy`).
    The list of versions is the same whatever is asked for, so that a client finds out what it may ask for.
    A project id between version and resource, as older catalogs have it, is taken out of the path (`url_project`)."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        if LEGACY_PATH.match(scope["path"]):
            state["legacy"], state["microversion"] = True, MINIMUM
            await self.app({**scope, "path": _without_project("/v2.1" + scope["path"][3:], state)}, receive, send)
            return
        try:
            state["microversion"] = MINIMUM if scope["path"] == "/" else negotiate(Headers(scope=scope))
        except ServiceError as error:
            state["microversion"] = MINIMUM
            await render(error, Request(scope))(scope, receive, told(send, MINIMUM))
            return
        scope = {**scope, "path": _without_project(scope["path"], state)}
        await self.app(scope, receive, told(send, state["microversion"]))


def told(send: Send, minor: int) -> Send:
    return stamped(send, _words(minor))


def told_at_the_edge(scope: Scope) -> dict[str, str]:
    """Of a request that comes no further than the edge."""
    if LEGACY_PATH.match(scope["path"]):
        return {}
    try:
        return _words(negotiate(Headers(scope=scope)))
    except ServiceError:
        return _words(MINIMUM)


def _words(minor: int) -> dict[str, str]:
    return {STANDARD: f"compute 2.{minor}", LEGACY: f"2.{minor}"}


def _without_project(path: str, state: dict[str, Any]) -> str:
    found = PROJECT.match(path)
    if found is None:
        return path
    state["url_project"] = found[1]
    return "/v2.1" + path[found.end() :]


KNOWN: dict[str, dict[str, Any]] = {
    "v2.0": {"status": "SUPPORTED", "version": "", "min_version": "", "updated": "2011-01-21T11:33:21Z"},
    "v2.1": {
        "status": "CURRENT",
        "version": f"2.{MAXIMUM}",
        "min_version": f"2.{MINIMUM}",
        "updated": "2013-07-23T11:33:21Z",
    },
}
"""What is served, in the order in which Nova lists it. v2.0 is v2.1 without microversions."""


def document(request: Request, known: str) -> dict[str, Any]:
    base, path = str(request.base_url).rstrip("/"), {"v2.0": "v2"}.get(known, known)
    return {"id": known, **KNOWN[known], "links": [{"rel": "self", "href": f"{base}/{path}/"}]}


@router.head("/", include_in_schema=False)
@router.get("/")
async def list_versions(request: Request) -> Response:
    """Versions of the compute API that are served here; no token needed."""
    return JSONResponse({"versions": [document(request, known) for known in KNOWN]})


@router.head("/v2.1", include_in_schema=False)
@router.head("/v2.1/", include_in_schema=False)
@router.get("/v2.1")
@router.get("/v2.1/")
async def show_version(request: Request) -> Response:
    """The version document, by which clients find the range of microversions; no token needed."""
    known = "v2.0" if getattr(request.state, "legacy", False) else "v2.1"
    version = document(request, known)
    version["links"].append({"rel": "describedby", "type": "text/html", "href": "https://docs.openstack.org/"})
    kind = f"application/vnd.openstack.compute+json;version={known.removeprefix('v').removesuffix('.0')}"
    version["media-types"] = [{"base": "application/json", "type": kind}]
    return JSONResponse({"version": version})
