"""Each route has its schema, and each answer fits it at every microversion at which the schema is another one."""

import re
from collections.abc import Iterator
from typing import Any

from fastapi.routing import APIRoute

from api.compute.app import ROUTERS
from api.compute.call import Versions
from api.compute.routes.gone import gone
from api.compute.routes.not_built import not_built
from api.compute.versions import MAXIMUM, MINIMUM
from tests.compute.conftest import Api, Cloud
from tests.compute.contract import At, By, Either, Map, May, Together
from tests.compute.routes import ROUTES
from tests.edge import things

ALWAYS_REFUSED = {
    ("GET", "/servers/{}/shares/{}"),
    ("POST", "/servers/{}/shares"),
    ("DELETE", "/servers/{}/shares/{}"),
    ("POST", "/os-aggregates/{}/images"),
    ("GET", "/servers/{}/migrations/{}"),
}
"""Routes without a success: see tests/compute/test_newest.py and test_migrations.py."""


def plain(path: str) -> str:
    return re.sub(r"\{[^}]*\}", "{}", path)


def served() -> Iterator[tuple[str, APIRoute]]:
    """(method, route) of what is built, but for what only our own hosts ask."""
    for router in ROUTERS:
        for route in router.routes:
            assert isinstance(route, APIRoute)
            if route.endpoint not in (not_built, gone) and not route.path.startswith("/kilonova"):
                yield from ((method, route) for method in route.methods)


def test_every_built_route_has_its_schema() -> None:
    known = {(route.method, plain(route.path)) for route in ROUTES} | {("POST", "/servers/{}/action")}
    assert {(method, plain(route.path)) for method, route in served()} - known - ALWAYS_REFUSED == set()


def changes(schema: Any) -> set[int]:
    """Microversions at which a schema becomes another one."""
    match schema:
        case At():
            return {schema.since, schema.until + 1} | changes(schema.schema)
        case By():
            return {schema.since} | changes(schema.before) | changes(schema.after)
        case May():
            return changes(schema.schema)
        case Map():
            return changes(schema.value)
        case Together():
            return changes(schema.names)
        case Either():
            return {n for each in schema.schemas for n in changes(each)}
        case dict():
            return {n for each in schema.values() for n in changes(each)}
        case list():
            return {n for each in schema for n in changes(each)}
    return set()


def moments(route: APIRoute, schema: Any) -> list[int]:
    """The versions before and after each change that the route lives to see."""
    bounds: Any = next((d.dependency for d in route.dependencies if isinstance(d.dependency, Versions)), None)
    first, last = (bounds.first, bounds.last or MAXIMUM) if bounds else (MINIMUM, MAXIMUM)
    all_of = {first, last} | {n - less for n in changes(schema) for less in (0, 1)}
    return sorted(n for n in all_of if first <= n <= last)


def test_answers_fit_at_every_microversion(cloud: Cloud, admin: Api, demo: Api) -> None:
    """The contract around the service makes another answer a 555; here each GET is asked at each of its versions."""
    ids, schemas = things.made_by(cloud, demo)["compute"], {plain(r.path): r.body for r in ROUTES if r.method == "GET"}
    wrong, fitting = [], set()
    for method, route in served():
        if method != "GET" or plain(route.path) not in schemas:
            continue
        url = re.sub(r"\{(\w+)\}", lambda found: ids.get(found[1], "unknown"), route.path)
        for minor in moments(route, schemas[plain(route.path)]):
            for who in (admin, demo):
                answer = who.http.get(url, headers={"OpenStack-API-Version": f"compute 2.{minor}"})
                wrong += [answer.text] if answer.status_code >= 500 and answer.status_code != 501 else []
                fitting |= {plain(route.path)} if answer.is_success else set()
    assert not wrong, "\n".join(wrong[:20])
    assert len(fitting) > 30, sorted(schemas.keys() - fitting)
