"""The door to Temporal's Web UI on one machine: the server has no login of its own, and is out of everybody's reach."""

import http.client
from urllib.parse import urlsplit

from fastapi import FastAPI, HTTPException, Request, Response
from starlette.concurrency import run_in_threadpool

from infra.settings import Settings
from workers import codec_server
from workers.codec_server import access_token, presented
from workers.probes import connection

NOT_PASSED_ON = ("authorization", "connection", "keep-alive", "transfer-encoding", "upgrade", "te", "content-length")
TIMEOUT_S = 30.0
LOGIN = {"WWW-Authenticate": 'Basic realm="Temporal, password: keys/codec-token", charset="UTF-8"'}


def create(settings: Settings) -> FastAPI:
    """Every page of the Web UI, and the codec below /codec, for whoever has the operator's token (as HTTP Basic's
    password, with any name). What it asks of the UI it asks inside the network namespace of the server."""
    token = access_token(settings)
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.mount("/codec", codec_server.create(settings))

    @app.api_route("/{path:path}", methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
    async def pass_on(request: Request) -> Response:
        if not presented(request, token):
            raise HTTPException(401, "the operator's token is required", LOGIN)
        body = await codec_server.bounded_body(request)
        return await run_in_threadpool(_ask, settings, request, body)

    return app


def _ask(settings: Settings, request: Request, body: bytes) -> Response:
    """The UI's answer. Raises HTTPException (502) when it does not answer."""
    here = (settings.listen, settings.port("temporal_ui"))
    target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    headers = {name: value for name, value in request.headers.items() if name not in NOT_PASSED_ON}
    asked = http.client.HTTPConnection(*here, timeout=TIMEOUT_S)
    try:
        asked.sock = connection(*here, TIMEOUT_S, settings.temporal_place)
        asked.request(request.method, urlsplit(target)._replace(scheme="", netloc="").geturl(), body, headers)
        answer = asked.getresponse()
        data = answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise HTTPException(502, "Temporal's Web UI does not answer") from error
    finally:
        asked.close()
    response = Response(data, answer.status)
    for name, value in answer.getheaders():
        if name.lower() not in NOT_PASSED_ON:
            response.headers.append(name, value)
    return response
