"""Microversions of the volume API, and the project id that older clients put into the path."""

import re

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.volume.errors import KINDS

MINIMUM, MAXIMUM = (3, 0), (3, 71)
HEADER = "OpenStack-API-Version"
PROJECT_IN_PATH = re.compile(r"^/v3/([0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(/.*)$")
Version = tuple[int, int]


def text(version: Version) -> str:
    return f"{version[0]}.{version[1]}"


def requested(header: str) -> Version:
    """Version asked for by `OpenStack-API-Version: volume 3.27`; 3.0 without it. ValueError: malformed; LookupError:
    not one of ours. Source: Block Storage API v3, "API versions"."""
    for part in header.split(","):
        service, _, wanted = part.strip().partition(" ")
        if service != "volume":
            continue
        if wanted.strip() == "latest":
            return MAXIMUM
        match = re.fullmatch(r"(\d+)\.(\d+)", wanted.strip())
        if not match:
            raise ValueError(wanted.strip())
        version = (int(match[1]), int(match[2]))
        if not MINIMUM <= version <= MAXIMUM:
            raise LookupError(text(version))
        return version
    return MINIMUM


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
        try:
            version = requested(Headers(scope=scope).get(HEADER, ""))
        except ValueError as error:
            words = f"API Version String {error} is of invalid format. Must be of format MajorNum.MinorNum."
            await refusal(400, words)(scope, receive, send)
            return
        except LookupError as error:
            words = f"Minimum is {text(MINIMUM)} and maximum is {text(MAXIMUM)}."
            await refusal(406, f"Version {error.args[0]} is not supported by the API. {words}")(scope, receive, send)
            return
        state["version"] = version

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers[HEADER] = f"volume {text(version)}"
                headers.add_vary_header(HEADER)
            await send(message)

        await self.app(scope, receive, answer)
