"""Codec server: lets Temporal's Web UI and command line show operators the payloads that the history keeps sealed."""

import base64
import hmac
from pathlib import Path
from secrets import token_urlsafe

import uvicorn
from fastapi import FastAPI, HTTPException, Request, Response
from google.protobuf import json_format
from temporalio.api.common.v1 import Payloads

from infra.codec import KeyRing
from infra.credentials import write_private
from infra.payloads import EncryptingCodec
from infra.settings import Settings

LIMIT_BYTES = 8 << 20  # four times what Temporal lets one message carry


def access_token(settings: Settings) -> str:
    """What a caller must present as `Authorization: Bearer …`: STATE/keys/codec-token, made on first use."""
    file: Path = settings.state_dir / "keys" / "codec-token"
    if not file.exists():
        write_private(file, token_urlsafe(24))
    return file.read_text()


def create(settings: Settings) -> FastAPI:
    """POST /decode with Temporal's `Payloads` JSON, for whoever presents the token, wherever the request comes from.

    There is no /encode: who may read what is sealed must not thereby be able to seal. Source: Temporal's codec server
    protocol."""
    codec = EncryptingCodec(KeyRing.load(settings.codec_keys))
    ui = f"{settings.scheme}://{settings.listen}:{settings.port('temporal_ui')}"
    origins = {ui, ui.replace("127.0.0.1", "localhost"), settings.temporal_ui_url.rstrip("/")} - {""}
    token = access_token(settings)
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    def cors(request: Request) -> dict[str, str]:
        origin = request.headers.get("origin", "")
        return {
            "Access-Control-Allow-Origin": origin if origin in origins else ui,
            "Access-Control-Allow-Methods": "POST, OPTIONS",
            "Access-Control-Allow-Headers": "content-type,x-namespace,authorization",
            "Vary": "Origin",
        }

    def admit(request: Request) -> None:
        if not presented(request, token):
            raise HTTPException(401, "the codec server's token is required", {"WWW-Authenticate": "Bearer"})

    @app.post("/decode")
    async def decode(request: Request) -> Response:
        admit(request)
        try:
            given = json_format.Parse(await bounded_body(request), Payloads())
            done = await codec.decode(given.payloads)
        except HTTPException:
            raise
        except Exception as error:
            raise HTTPException(400, "not a Payloads message, or not sealed by this cloud") from error
        text = json_format.MessageToJson(Payloads(payloads=done))
        return Response(text, media_type="application/json", headers=cors(request))

    @app.options("/decode")
    async def preflight(request: Request) -> Response:
        return Response(headers=cors(request))

    @app.get("/")
    async def alive() -> dict[str, str]:
        return {"service": "codec"}

    return app


def presented(request: Request, token: str) -> bool:
    """Whether the request carries `token`, as a bearer or as HTTP Basic's password. Source: RFC 6750, RFC 7617."""
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            given = base64.b64decode(given, validate=True).decode().partition(":")[2]
        except ValueError:
            return False
    elif scheme.lower() != "bearer":
        return False
    return hmac.compare_digest(given.encode(), token.encode())


async def bounded_body(request: Request) -> bytes:
    """The request's body; HTTPException (413) when it is longer than LIMIT_BYTES."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > LIMIT_BYTES:
            raise HTTPException(413, "too large")
    return body


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
