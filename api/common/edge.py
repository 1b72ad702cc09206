"""The edge of every service: who asks and how much is sent is known before a byte of the body is read.

It sits inside the request ids and outside of everything else. Whatever goes wrong further in is answered here, in
the service's own format, on a connection that goes on."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import Request, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.common import doors, failures, request_head, storable
from api.common.context import identify
from api.common.errors import ServiceError
from api.common.microversions import stamp
from infra import http_bounds, logs
from infra.settings import Settings

Render = Callable[[ServiceError, Request], Response]
CONTROL = re.compile(rb"[\x00-\x1f\x7f]")
JSON_LIKE = re.compile(r"|text/plain|application/([a-z0-9.+-]*\+)?json|application/[a-z0-9.-]*json[a-z0-9.-]*")
VERSIONS_TOLD = "versions_told"
"""Of an application's state: `microversions.Told`, where the service has microversions."""
log = logs.get(__name__)


class Answer:
    """Sends an answer; control characters in a header's value are percent-encoded, whatever put them there."""

    def __init__(self, send: Send) -> None:
        self._send, self.started = send, False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [
                (name, CONTROL.sub(lambda found: b"%%%02X" % found[0][0], value)) for name, value in message["headers"]
            ]
            self.started = True
        await self._send(message)


class Edge:
    def __init__(self, app: ASGIApp, service: str, settings: Settings, render: Render) -> None:
        self.app, self._settings, self._render = app, settings, render
        self._door, self._url = doors.door(service), settings.url(service)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] == "http":
            answer = Answer(send)
            try:
                await self._admit(scope, receive, answer)
            except Exception as error:
                await self._fail(scope, receive, answer, error)

    async def _admit(self, scope: Scope, receive: Receive, answer: Answer) -> None:
        request_head.tidy(scope, self._url, self._settings.trusted_proxies)
        asked = f"{scope['method']} {scope['path']}"
        if not self._door.open.fullmatch(scope["path"]):
            scope["state"]["caller"] = await identify(scope, outlasts=bool(self._door.outlasts.fullmatch(asked)))
        if self._door.streams.fullmatch(asked):
            await self.app(scope, _patient(receive), answer)
            return
        self._require_small(scope)
        body = await self._whole(receive)
        if body and JSON_LIKE.fullmatch(_media_type(scope)):
            scope["state"]["json"] = storable.load(body)
        await self.app(scope, _again(body, receive), answer)

    def _require_small(self, scope: Scope) -> None:
        declared = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        if not re.fullmatch(rb"[0-9]{1,18}", declared) or int(declared) > self._door.body:
            raise ServiceError(413, "Request is too large.")

    async def _whole(self, receive: Receive) -> bytearray:
        """The body. Raises ServiceError 408 for a slow client, 413 for a body that grows beyond the limit."""
        body = bytearray()
        patient = _patient(receive)
        try:
            async with asyncio.timeout(http_bounds.BODY_S):
                while True:
                    message = await patient()
                    if message["type"] == "http.disconnect":
                        raise ServiceError(400, "The client went away before its request was complete.")
                    body += message.get("body", b"")
                    if len(body) > self._door.body:
                        raise ServiceError(413, "Request is too large.")
                    if not message.get("more_body", False):
                        return body
        except TimeoutError:
            raise ServiceError(408, "The request's body did not arrive in time.") from None

    async def _fail(self, scope: Scope, receive: Receive, answer: Answer, error: Exception) -> None:
        if answer.started:  # half an answer cannot become another one: the connection ends
            raise error
        refusal = failures.of(error, scope["state"].get("request_id", ""))
        if refusal is not error and refusal.status == 503:
            log.warning("a store or a service does not answer", error=f"{type(error).__name__}: {error}"[:400])
        elif refusal is not error and refusal.status >= 500:
            log.error("unexpected error", exc_info=error)
        told = getattr(scope["app"].state, VERSIONS_TOLD, None)
        versions = told(scope) if told else {}
        response = respond(refusal, Request(scope), self._render, self._settings)
        stamp(response.headers, versions)
        if refusal.status == 408:
            response.headers["Connection"] = "close"
        await response(scope, receive, answer)


def respond(error: ServiceError, request: Request, render: Render, settings: Settings) -> Response:
    """The answer to a refused request; a 401 says where to get a token."""
    answer = render(error, request)
    if error.status == 401:
        answer.headers["WWW-Authenticate"] = f'Keystone uri="{settings.identity_url}"'
    answer.headers.update(error.headers)
    return answer


def _media_type(scope: Scope) -> str:
    given = next((value for name, value in scope["headers"] if name == b"content-type"), b"")
    return given.decode("latin-1").split(";")[0].strip().lower()


def _patient(receive: Receive) -> Callable[[], Awaitable[Message]]:
    async def next_piece() -> Message:
        try:
            async with asyncio.timeout(http_bounds.BODY_IDLE_S):
                return await receive()
        except TimeoutError:
            raise ServiceError(408, "The request's body did not arrive in time.") from None

    return next_piece


def _again(body: bytearray, receive: Receive) -> Receive:
    """Gives a body that was read to whoever reads it next; afterwards it waits for the client to go away."""
    waiting: list[dict[str, Any]] = [{"type": "http.request", "body": bytes(body), "more_body": False}]

    async def give() -> Message:
        return waiting.pop() if waiting else await receive()

    return give
