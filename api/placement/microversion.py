"""Microversions of the Placement API: 1.0 to 1.39 (Placement API reference, "API versions")."""

from fastapi import Request
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.common import parsers
from api.common.errors import ServiceError
from api.placement.errors import render

MINIMUM, MAXIMUM = 0, 39
HEADER = "OpenStack-API-Version"


def negotiate(headers: Headers) -> int:
    """The minor number asked for, 0 without one; raises ServiceError 400 and 406."""
    wanted = parsers.version_asked_for(headers.get(HEADER.lower(), ""), "placement")
    if not wanted:
        return MINIMUM
    if wanted.lower() == "latest":
        return MAXIMUM
    try:
        major, minor = parsers.version(wanted)
    except parsers.Malformed:
        raise ServiceError(400, f"invalid version string: {wanted[:20]}") from None
    if major != 1 or minor > MAXIMUM:
        words = f"Unacceptable version header: {wanted}"
        raise ServiceError(406, words, min_version=f"1.{MINIMUM}", max_version=f"1.{MAXIMUM}")
    return minor


class Microversions:
    """Sets `request.state.version` to the minor number, and answers with the version's headers."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        try:
            minor = negotiate(Headers(scope=scope))
        except ServiceError as error:
            await render(error, Request(scope))(scope, receive, send)
            return
        scope.setdefault("state", {})["version"] = minor

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers[HEADER] = f"placement 1.{minor}"
                headers.add_vary_header(HEADER)
            await send(message)

        await self.app(scope, receive, answer)
