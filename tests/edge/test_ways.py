"""The short way to a route leads where FastAPI's leads, and whoever goes it is answered the same."""

import re
from collections.abc import Iterator
from typing import Annotated, Any, ClassVar

import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.routing import compile_path

import api.compute.app
import api.network.app
import api.placement.app
import api.volume.app
from api.common import storable
from api.common.application import Application
from infra.settings import Settings

APPS = {each.__name__: each for each in (api.compute.app, api.network.app, api.placement.app, api.volume.app)}
HOT = {
    "api.compute.app": [
        "POST /v2.1/servers",
        "GET /v2.1/servers/x",
        "GET /v2.1/servers/detail",
        "POST /v2.1/servers/x/action",
        "POST /v2.1/servers/x/os-volume_attachments",
        "DELETE /v2.1/servers/x/os-volume_attachments/x",
        "GET /v2.1/kilonova/hosts/x/claims/x",
    ],
    "api.network.app": ["POST /v2.0/ports", "PUT /v2.0/ports/x", "GET /v2.0/ports"],
    "api.volume.app": ["GET /v3/volumes/x", "POST /v3/attachments", "DELETE /v3/attachments/x"],
    "api.placement.app": ["GET /resource_providers"],
}


@pytest.fixture(params=APPS)
def service(request: pytest.FixtureRequest, tmp_path: Any) -> tuple[str, Application]:
    (tmp_path / "db").mkdir()
    app = APPS[request.param].create(Settings(state_dir=tmp_path))
    assert isinstance(app, Application)
    return request.param, app


def every_route(app: Application) -> Iterator[tuple[str, str, Any, re.Pattern[str]]]:
    """(method, path, route, pattern), in the order in which FastAPI asks: its own list of what was included."""
    for included in app.router.routes:
        if (router := getattr(included, "original_router", None)) is None:
            continue
        for route in router.routes:
            path = included.include_context.prefix + route.path  # type: ignore[attr-defined]
            for method in route.methods:
                yield method, path, route, compile_path(path)[0]


def test_it_leads_where_fastapi_leads(service: tuple[str, Application]) -> None:
    """Mechanism: `Ways.add`, its order and its routes of any length."""
    _, app = service
    known = list(every_route(app))
    fills = ("x", "detail", "defaults", "1/2")
    asked = {(method, re.sub(r"\{[^}]+\}", fill, path)) for method, path, _, _ in known for fill in fills}
    methods = ("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD")
    asked |= {(method, path) for _, path in list(asked) for method in methods}
    straight = 0
    for method, path in asked:
        meant = next((route for by, _, route, pattern in known if by == method and pattern.match(path)), None)
        found = app.ways._found({"type": "http", "method": method, "path": path})
        assert found is None or found[0].route is meant, (method, path)
        straight += found is not None
    assert straight > len(known) // 2


def test_what_clouds_ask_all_the_time_goes_it(service: tuple[str, Application]) -> None:
    name, app = service
    for line in HOT[name]:
        method, path = line.split()
        found = app.ways._found({"type": "http", "method": method, "path": path})
        assert found is not None and found[0].asked, line


class Thing(BaseModel):
    GOOD: ClassVar = {"name": "a", "size": 1}

    name: str
    size: int = 1


async def first(request: Request) -> list[str]:
    if "refuse" in request.query_params:
        raise ValueError(request.query_params["refuse"])
    request.state.asked = [*getattr(request.state, "asked", []), "first"]
    found: list[str] = request.state.asked
    return found


First = Annotated[list[str], Depends(first)]


async def second(request: Request, before: First) -> str:
    request.state.asked.append("second")
    return f"after {len(before)}"


class Gate:
    async def __call__(self, request: Request, before: First) -> None:
        request.state.asked.append("gate")


def in_a_thread() -> str:
    return "thread"


router = APIRouter(dependencies=[Depends(Gate())])


@router.get("/things/all")
async def all_of_them(before: First) -> Response:
    return JSONResponse(before)


@router.get("/things/{thing_id}")
def one(thing_id: str, request: Request, before: First, other: Annotated[str, Depends(second)]) -> Response:
    return JSONResponse([thing_id, before, other, request.path_params, request.scope["route"].path])


@router.post("/things/{thing_id}")
async def change(thing_id: str, thing: Thing, before: First) -> Response:
    return JSONResponse([thing_id, thing.model_dump(), before], status_code=201)


@router.get("/things/{number}/n")
async def numbered(number: int) -> Response:
    return JSONResponse(number)


@router.get("/plain")
async def plain(limit: int = 3) -> dict[str, int]:
    return {"limit": limit}


@router.get("/threads")
async def threads(word: Annotated[str, Depends(in_a_thread)]) -> Response:
    return JSONResponse(word)


@router.get("/rest/{path:path}")
async def rest(path: str) -> Response:
    return JSONResponse(path)


@router.get("/rest/a")
async def never() -> Response:
    raise AssertionError


def app_of(kind: type[FastAPI]) -> FastAPI:
    app = kind()
    app.include_router(router, prefix="/v1")

    @app.middleware("http")
    async def edge(request: Request, go_on: Any) -> Response:
        """What the edge does with a body."""
        body = await request.body()
        if body and request.headers.get("content-type") == "application/json":
            try:
                request.state.json = storable.load(bytearray(body))
            except storable.Unstorable:
                return Response(status_code=400)
        answer: Response = await go_on(request)
        return answer

    @app.exception_handler(ValueError)
    async def refused(request: Request, error: ValueError) -> Response:
        return JSONResponse(str(error), status_code=409)

    return app


GOOD = b'{"name": "a", "size": 2}'
ASKED: list[tuple[str, str, bytes, str, int]] = [
    ("GET", "/v1/things/all", b"", "", 200),
    ("GET", "/v1/things/x%20y", b"", "", 200),
    ("GET", "/v1/things/x?refuse=so", b"", "", 409),
    ("GET", "/v1/things/", b"", "", 404),
    ("PUT", "/v1/things/x", b"", "", 405),
    ("HEAD", "/v1/things/x", b"", "", 405),
    ("GET", "/v1/nothing", b"", "", 404),
    ("GET", "/things/all", b"", "", 404),
    ("POST", "/v1/things/x", GOOD, "application/json", 201),
    ("POST", "/v1/things/x", GOOD, "application/json; charset=utf-8", 201),
    ("POST", "/v1/things/x?refuse=so", GOOD, "application/json", 409),
    ("POST", "/v1/things/x?refuse=so", b"{}", "application/json", 409),
    ("POST", "/v1/things/x", GOOD, "text/plain", 422),
    ("POST", "/v1/things/x", b"", "application/json", 422),
    ("POST", "/v1/things/x", b"null", "application/json", 422),
    ("POST", "/v1/things/x", b"[]", "application/json", 422),
    ("POST", "/v1/things/x", b'{"size": "x"}', "application/json", 422),
    ("GET", "/v1/things/7/n", b"", "", 200),
    ("GET", "/v1/things/x/n", b"", "", 422),
    ("GET", "/v1/plain?limit=4", b"", "", 200),
    ("GET", "/v1/threads", b"", "", 200),
    ("GET", "/v1/rest/a", b"", "", 200),
]


@pytest.mark.parametrize(("method", "path", "body", "kind", "status"), ASKED)
async def test_the_answer_is_fastapis(method: str, path: str, body: bytes, kind: str, status: int) -> None:
    told = []
    for each in (FastAPI, Application):
        transport = httpx.ASGITransport(app_of(each))
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as http:
            answer = await http.request(method, path, content=body, headers={"Content-Type": kind} if kind else {})
            told.append((answer.status_code, answer.text, dict(answer.headers)))
    assert told[0] == told[1]
    assert told[0][0] == status


def test_what_an_including_adds_is_not_passed_by() -> None:
    """Switched off by: `Application.include_router` taking what `Ways` does not know of, as a gate in front."""
    with pytest.raises(TypeError):
        Application().include_router(router, dependencies=[Depends(Gate())])  # type: ignore[call-arg]


def test_what_these_go() -> None:
    app = app_of(Application)
    assert isinstance(app, Application)
    straight = {way.route.endpoint for ways in app.ways.known.values() for way in ways if way.asked}
    assert straight == {all_of_them, one, change, never}
