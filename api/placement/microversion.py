"""Microversions of the Placement API: 1.0 to 1.39 (Placement API reference, "API versions")."""

from fastapi import Request
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from api.common import parsers
from api.common.errors import ServiceError
from api.common.microversions import HEADER, OutOfRange, Range, stamped
from api.placement.errors import render

MINIMUM, MAXIMUM = 0, 39


def negotiate(headers: Headers) -> int:
    """The minor number asked for, 0 without one; raises ServiceError 400 and 406."""
    wanted = parsers.version_asked_for(headers.get(HEADER.lower(), ""), "placement")
    try:
        return Range(1, MINIMUM, MAXIMUM).minor(wanted)
    except parsers.Malformed:
        raise ServiceError(400, f"invalid version string: {wanted[:20]}") from None
    except OutOfRange:
        words = f"Unacceptable version header: {wanted}"
        raise ServiceError(406, words, min_version=f"1.{MINIMUM}", max_version=f"1.{MAXIMUM}") from None


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
        await self.app(scope, receive, stamped(send, _words(minor)))


def told_at_the_edge(scope: Scope) -> dict[str, str]:
    """Of a request that comes no further than the edge, whose error has the form of that version."""
    try:
        minor = negotiate(Headers(scope=scope))
    except ServiceError:
        return {}
    scope.setdefault("state", {})["version"] = minor
    return _words(minor)


def _words(minor: int) -> dict[str, str]:
    return {HEADER: f"placement 1.{minor}"}
