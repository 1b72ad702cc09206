"""Microversions: negotiation of the number, and the version documents (Compute API reference, "API versions")."""

import re
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.common import parsers
from api.common.errors import ServiceError
from api.compute.errors import render

MINIMUM, MAXIMUM = 1, 96
STANDARD, LEGACY = "OpenStack-API-Version", "X-OpenStack-Nova-API-Version"
PROJECT = re.compile(r"^/v2\.1/([0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?=/|$)")

router = APIRouter()


def negotiate(headers: Headers) -> int:
    """The minor number to answer with; raises 400 for a malformed number and 406 for one out of range."""
    wanted = ""
    for part in headers.get(STANDARD.lower(), "").split(","):
        service, _, number = part.strip().partition(" ")
        if service.lower() == "compute":
            wanted = number.strip()
    wanted = wanted or headers.get(LEGACY.lower(), "").strip()
    if not wanted:
        return MINIMUM
    if wanted.lower() == "latest":
        return MAXIMUM
    try:
        major, minor = parsers.version(wanted)
    except parsers.Malformed:
        raise ServiceError(
            400, f"API Version String {wanted[:20]} is of invalid format. Must be of format MajorNum.MinorNum."
        ) from None
    if major != 2 or not MINIMUM <= minor <= MAXIMUM:
        raise ServiceError(
            406,
            f"Version {wanted} is not supported by the API. Minimum is 2.{MINIMUM} and maximum is 2.{MAXIMUM}.",
        )
    return minor


class Microversions:
    """Puts the negotiated number into the request's state (`microversion`) and into every answer's headers.

    A project id between version and resource, as older catalogs have it, is taken out of the path (`url_project`)."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        try:
            state["microversion"] = negotiate(Headers(scope=scope))
        except ServiceError as error:
            state["microversion"] = MINIMUM
            await render(error, Request(scope))(scope, receive, self._stamp(send, MINIMUM))
            return
        if found := PROJECT.match(scope["path"]):
            state["url_project"] = found[1]
            scope = {**scope, "path": "/v2.1" + scope["path"][found.end() :]}
        await self.app(scope, receive, self._stamp(send, state["microversion"]))

    @staticmethod
    def _stamp(send: Send, minor: int) -> Send:
        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers[STANDARD] = f"compute 2.{minor}"
                headers[LEGACY] = f"2.{minor}"
                headers.add_vary_header(STANDARD)
                headers.add_vary_header(LEGACY)
            await send(message)

        return answer


def document(base: str) -> dict[str, Any]:
    return {
        "id": "v2.1",
        "status": "CURRENT",
        "version": f"2.{MAXIMUM}",
        "min_version": f"2.{MINIMUM}",
        "updated": "2013-07-23T11:33:21Z",
        "links": [{"rel": "self", "href": f"{base}/v2.1/"}],
    }


@router.get("/")
async def list_versions(request: Request) -> Response:
    """Versions of the compute API that are served here; no token needed."""
    return JSONResponse({"versions": [document(request.app.state.settings.url("compute"))]})


@router.get("/v2.1")
@router.get("/v2.1/")
async def show_version(request: Request) -> Response:
    """The version document, by which clients find the range of microversions; no token needed."""
    version = document(request.app.state.settings.url("compute"))
    version["links"].append({"rel": "describedby", "type": "text/html", "href": "https://docs.openstack.org/api-ref/"})
    version["media-types"] = [
        {"base": "application/json", "type": "application/vnd.openstack.compute+json;version=2.1"}
    ]
    return JSONResponse({"version": version})
