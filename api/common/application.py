"""What every service's application has: request ids, errors in the service's format, token validation."""

import asyncio
import re
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any
from urllib.parse import quote

import structlog
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.common import parsers, wording
from api.common.edge import Edge, Render, respond
from api.common.errors import ServiceError
from api.common.ways import Ways
from infra import logs
from infra.identity import TokenValidator
from infra.settings import Settings

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]
REQUEST_ID = re.compile(r"req-[0-9a-f-]{36}")
log = logs.get(__name__)


class RequestIds:
    """Gives each request an id, takes over a well-formed one from a service in front, and answers with it."""

    def __init__(self, app: ASGIApp, service: str) -> None:
        self.app, self.service = app, service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-openstack-request-id", "")
        request_id = given if REQUEST_ID.fullmatch(given) else f"req-{uuid.uuid4()}"
        scope.setdefault("state", {})["request_id"] = request_id
        scope["state"]["client_request_id"] = given
        structlog.contextvars.bind_contextvars(request_id=request_id)
        loop, begun = asyncio.get_running_loop(), time.perf_counter()

        def tell(status: int, ms: float) -> None:
            """Once the loop has sent what was written: nobody waits for the line."""
            log.info("request", method=scope["method"], path=quote(scope["path"]), status=status, ms=ms)

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["x-openstack-request-id"] = request_id
                if self.service in ("compute", "volume"):  # Cinder kept the name from when it was a part of Nova
                    headers["x-compute-request-id"] = request_id
                loop.call_soon(tell, message["status"], round((time.perf_counter() - begun) * 1000, 1))
            await send(message)

        await self.app(scope, receive, answer)


class Application(FastAPI):
    """Whose requests go the short way to their routes."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.ways = Ways(self.router)
        self.router.middleware_stack = self.ways

    def include_router(self, router: APIRouter, *, prefix: str = "") -> None:  # type: ignore[override]
        """Whatever else stands before routes, as dependencies do, their own router says: the short way knows that."""
        super().include_router(router, prefix=prefix)
        self.ways.add(router, prefix)


def create_app(
    service: str,
    settings: Settings,
    render: Render,
    lifespan: Lifespan | None = None,
    state: dict[str, Any] | None = None,
) -> FastAPI:
    """An application of `service` whose errors are rendered by `render`.

    `app.state` has `settings`, `tokens` (TokenValidator) and what `state` names. Validation errors of the body
    become 400 with the first problem's place and text; what an exception that nobody expected becomes is for
    `api.common.failures` to say."""

    @asynccontextmanager
    async def whole_life(app: FastAPI) -> AsyncIterator[None]:
        app.state.tokens = TokenValidator(settings)
        try:
            if lifespan is None:
                yield
            else:
                async with lifespan(app):
                    yield
        finally:
            await app.state.tokens.close()

    app = Application(
        title=f"Kilonova {service}",
        lifespan=whole_life,
        redirect_slashes=False,
        docs_url=None,
        redoc_url=None,
        telemetry={"tracing": False, "metrics": False, "logs": False},  # ours is `infra.tracing`
    )
    app.state.settings = settings
    for name, value in (state or {}).items():
        setattr(app.state, name, value)
    app.add_middleware(Edge, service=service, settings=settings, render=render)
    app.add_middleware(RequestIds, service=service)

    @app.exception_handler(ServiceError)
    async def service_error(request: Request, error: ServiceError) -> Response:
        return respond(error, request, render, settings)

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> Response:
        words = {404: "The resource could not be found.", 405: "The method is not allowed for this resource."}
        return await service_error(
            request, ServiceError(error.status_code, words.get(error.status_code, str(error.detail)))
        )

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        return await service_error(request, ServiceError(400, describe(error)))

    return app


def describe(error: RequestValidationError) -> str:
    """One sentence about the first problem of a body, naming its place but never repeating the value."""
    first = error.errors()[0]
    place = parsers.place(part for part in first["loc"] if part != "body")
    return f"Invalid input for field/attribute {place or 'body'}. {wording.of(first)}"


def json_error(body: dict[str, Any], error: ServiceError) -> JSONResponse:
    return JSONResponse(body, status_code=error.status)
