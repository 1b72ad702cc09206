"""Microversions of the volume API, and the project id that older clients put into the path."""

import re

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from api.common import parsers
from api.common.microversions import HEADER, OutOfRange, Range, stamped
from api.volume.errors import KINDS

MINIMUM, MAXIMUM = (3, 0), (3, 71)
PROJECT_IN_PATH = re.compile(r"^/v3/([0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(/.*)$")
Version = tuple[int, int]


def text(version: Version) -> str:
    return f"{version[0]}.{version[1]}"


def requested(header: str) -> Version:
    """The version asked for by `OpenStack-API-Version: volume 3.27`; 3.0 without it. Raises parsers.Malformed, and
    OutOfRange. Source: Block Storage API v3, "API versions"."""
    return MINIMUM[0], Range(MINIMUM[0], MINIMUM[1], MAXIMUM[1]).minor(parsers.version_asked_for(header, "volume"))


def refusal(status: int, words: str) -> JSONResponse:
    return JSONResponse({KINDS[status]: {"code": status, "message": words}}, status_code=status)


class Microversions:
    """Sets `request.state.version` and `request.state.path_project`, and answers with the version's headers."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith("/v3"):
            await self.app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        state["path_project"] = None
        if match := PROJECT_IN_PATH.match(scope["path"]):
            state["path_project"] = match[1]
            scope["path"] = f"/v3{match[2]}"
        wanted = Headers(scope=scope).get(HEADER, "")
        try:
            state["version"] = requested(wanted)
        except OutOfRange as error:
            words = f"Minimum is {text(MINIMUM)} and maximum is {text(MAXIMUM)}."
            await refusal(406, f"Version {error} is not supported by the API. {words}")(scope, receive, send)
            return
        except parsers.Malformed:
            named = parsers.version_asked_for(wanted, "volume")[:20]
            words = f"API Version String {named} is of invalid format. Must be of format MajorNum.MinorNum."
            await refusal(400, words)(scope, receive, send)
            return
        await self.app(scope, receive, stamped(send, _words(state["version"])))


def told_at_the_edge(scope: Scope) -> dict[str, str]:
    """Of a request that comes no further than the edge."""
    if not scope["path"].startswith("/v3"):
        return {}
    try:
        return _words(requested(Headers(scope=scope).get(HEADER, "")))
    except (OutOfRange, parsers.Malformed):
        return {}


def _words(version: Version) -> dict[str, str]:
    return {HEADER: f"volume {text(version)}"}
