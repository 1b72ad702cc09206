"""Codec server: lets Temporal's Web UI and command line show operators the payloads that the history keeps sealed."""

import hmac
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from secrets import token_urlsafe

import uvicorn
from fastapi import FastAPI, HTTPException, Request, Response
from google.protobuf import json_format
from temporalio.api.common.v1 import Payload, Payloads

from infra.codec import EncryptingCodec, KeyRing
from infra.credentials import write_private
from infra.settings import Settings

Transform = Callable[[Sequence[Payload]], Awaitable[list[Payload]]]


def access_token(settings: Settings) -> str:
    """What a caller must present as `Authorization: Bearer …`: STATE/keys/codec-token, made on first use."""
    file: Path = settings.state_dir / "keys" / "codec-token"
    if not file.exists():
        write_private(file, token_urlsafe(24))
    return file.read_text()


def create(settings: Settings) -> FastAPI:
    """POST /encode and /decode with Temporal's `Payloads` JSON, for the Web UI's origin only.

    On one machine the Web UI itself is reachable only from it, so requests of that origin from loopback pass;
    anyone else needs the bearer token. Source: Temporal's codec server protocol."""
    codec = EncryptingCodec(KeyRing.load(settings.codec_keys))
    ui = f"http://{settings.listen}:{settings.port('temporal_ui')}"
    origins = {ui, ui.replace("127.0.0.1", "localhost"), settings.temporal_ui_url.rstrip("/")} - {""}
    token = access_token(settings)
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    def cors(request: Request) -> dict[str, str]:
        origin = request.headers.get("origin", "")
        return {
            "Access-Control-Allow-Origin": origin if origin in origins else ui,
            "Access-Control-Allow-Methods": "POST, OPTIONS",
            "Access-Control-Allow-Headers": "content-type,x-namespace,authorization",
            "Access-Control-Allow-Credentials": "true",
            "Vary": "Origin",
        }

    def admit(request: Request) -> None:
        local = request.client is not None and request.client.host in ("127.0.0.1", "::1")
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if hmac.compare_digest(given.encode(), token.encode()):
            return
        if not (local and request.headers.get("origin", "") in origins):
            raise HTTPException(401, "the codec server's token is required")

    async def answer(request: Request, transform: Transform) -> Response:
        admit(request)
        try:
            given = json_format.Parse(await request.body(), Payloads())
            done = await transform(given.payloads)
        except Exception as error:
            raise HTTPException(400, "not a Payloads message, or sealed with an unknown key") from error
        text = json_format.MessageToJson(Payloads(payloads=done))
        return Response(text, media_type="application/json", headers=cors(request))

    @app.post("/encode")
    async def encode(request: Request) -> Response:
        return await answer(request, codec.encode)

    @app.post("/decode")
    async def decode(request: Request) -> Response:
        return await answer(request, codec.decode)

    @app.options("/{operation}")
    async def preflight(operation: str, request: Request) -> Response:
        return Response(headers=cors(request))

    @app.get("/")
    async def alive() -> dict[str, str]:
        return {"service": "codec"}

    return app


async def run_codec(settings: Settings) -> None:
    """Serve on the codec port until SIGTERM or SIGINT."""
    config = uvicorn.Config(
        create(settings),
        host=settings.listen,
        port=settings.port("codec"),
        access_log=False,
        log_level="warning",
        lifespan="off",
    )
    await uvicorn.Server(config).serve()
