"""The short way from a request to its route.

FastAPI asks one included router after the other, and each of its routes, whether it is meant, and then again; and looks
anew, at each request, at what a route depends on. Here both are looked up once. Whatever is out of the ordinary goes
FastAPI's own way, as before: a request that no route is meant by, a route of another shape, a body that is none."""

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, get_type_hints

from fastapi import APIRouter, Response, params
from fastapi.concurrency import run_in_threadpool
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.routing import compile_path
from starlette.types import Receive, Scope, Send

JSON = b"application/json"
UNUSUAL = (
    "query_params",
    "header_params",
    "cookie_params",
    "websocket_param_name",
    "http_connection_param_name",
    "response_param_name",
    "background_tasks_param_name",
    "security_scopes_param_name",
    "own_oauth_scopes",
    "parent_oauth_scopes",
    "concurrency",
)
"""What a dependency may ask of FastAPI that is left to it."""


class Odd(Exception):
    """A route whose requests go FastAPI's own way."""


@dataclass(slots=True)
class Asked:
    """A call, and where its arguments come from: the request, the path, a call before it by its number."""

    call: Callable[..., Any]
    request: str | None
    named: list[str]
    results: list[tuple[str, int]]


@dataclass(slots=True)
class Way:
    """One route's: what it depends on, and last the route itself. Without any, its requests go FastAPI's way."""

    route: APIRoute
    pattern: re.Pattern[str]
    asked: list[Asked] = field(default_factory=list)
    body: Any = None
    after: int = 0  # so many routes of any length come before it


@dataclass
class Ways:
    """ASGI application in front of a router: the router's own hook for what stands around it."""

    router: APIRouter
    known: dict[tuple[str, int], list[Way]] = field(default_factory=dict)
    of_any_length: list[Way] = field(default_factory=list)

    def add(self, included: APIRouter, prefix: str) -> None:
        """In the order in which the router asks its routes: the first that is meant is the one."""
        for route in included.routes:
            if not isinstance(route, APIRoute):
                raise TypeError(f"{route} is no route of FastAPI's")
            path = prefix + route.path
            pattern, _, convertors = compile_path(path)
            if any(each.regex != "[^/]+" for each in convertors.values()):
                self.of_any_length.append(Way(route, pattern))
                continue
            way = _way(route, pattern)
            way.after = len(self.of_any_length)
            for method in route.methods or ():
                self.known.setdefault((method, path.count("/")), []).append(way)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = self._found(scope) if scope["type"] == "http" and not scope.get("root_path") else None
        if found is not None:
            way, given = found
            body = _body(way, scope)
            if way.asked and body is not Odd:
                scope.update(router=self.router, route=way.route, endpoint=way.route.endpoint, path_params=given)
                answer = await _answer(way, Request(scope, receive, send), given if body is None else given | body)
                await answer(scope, receive, send)
                return
        await self.router.app(scope, receive, send)

    def _found(self, scope: Scope) -> tuple[Way, dict[str, Any]] | None:
        path = scope["path"]
        for way in self.known.get((scope["method"], path.count("/")), ()):
            if match := way.pattern.match(path):
                before = self.of_any_length[: way.after]
                return None if any(each.pattern.match(path) for each in before) else (way, match.groupdict())
        return None


async def _answer(way: Way, request: Request, given: dict[str, Any]) -> Response:
    results: list[Any] = []
    for asked in way.asked:
        values = {name: results[number] for name, number in asked.results}
        if asked.request:
            values[asked.request] = request
        for name in asked.named:
            values[name] = given[name]
        results.append(await asked.call(**values))
    answer: Response = results[-1]
    return answer


def _body(way: Way, scope: Scope) -> Any:
    """The body's argument, None for a route without one; Odd where FastAPI has to look at it, and to say what is wrong
    with it."""
    if way.body is None:
        return None
    sent = scope.get("state", {}).get("json", Odd)
    if sent in (None, Odd) or next((value for name, value in scope["headers"] if name == b"content-type"), b"") != JSON:
        return Odd
    value, errors = way.body.validate(sent, {}, loc=("body",))
    return Odd if errors else {way.body.name: value}


def _way(route: APIRoute, pattern: re.Pattern[str]) -> Way:
    way, whole = Way(route, pattern), route.dependant
    try:
        if not _answers_itself(route):
            raise Odd
        body = route.dependant.body_params
        if body and (len(body) > 1 or route._embed_body_fields or type(body[0].field_info) is not params.Body):
            raise Odd
        asked: list[Asked] = []
        _ask(whole, asked, {})
    except Odd:
        return way
    if not inspect.iscoroutinefunction(route.endpoint):
        asked[-1].call = partial(run_in_threadpool, route.endpoint)
    if body:
        asked[-1].named.append(body[0].name)
    way.asked, way.body = asked, body[0] if body else None
    return way


def _answers_itself(route: APIRoute) -> bool:
    """Whether what the route's function returns is the answer."""
    returned = get_type_hints(route.endpoint).get("return")
    return inspect.isclass(returned) and issubclass(returned, Response)


def _ask(wanted: Dependant, asked: list[Asked], known: dict[Any, int]) -> int:
    """Put `wanted` behind what it depends on, each of which is asked once; its number."""
    if wanted.call is None or not wanted.use_cache or any(getattr(wanted, name) for name in UNUSUAL):
        raise Odd
    named, results = [], []
    for given in wanted.path_params:
        if given.field_info.annotation is not str or given.field_info.metadata or given.alias != given.name:
            raise Odd
        named.append(given.name)
    for each in wanted.dependencies:
        if each.body_params or not _is_awaited(each.call):
            raise Odd
        number = known[each.call] if each.call in known else _ask(each, asked, known)
        if each.name is not None:
            results.append((each.name, number))
    asked.append(Asked(wanted.call, wanted.request_param_name, named, results))
    known[wanted.call] = len(asked) - 1
    return known[wanted.call]


def _is_awaited(call: Any) -> bool:
    """FastAPI has others run in threads, and ends those that yield."""
    return inspect.iscoroutinefunction(call if inspect.isroutine(call) else type(call).__call__)
