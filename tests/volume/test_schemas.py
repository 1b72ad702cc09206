"""Each route and each action, at every microversion at which its schema is another one, in requests and in answers.

The contract around the service judges each exchange; here is only what is asked, and that nothing was left out."""

from collections.abc import Iterator
from typing import Any

import pytest

from api.volume.microversion import MAXIMUM
from tests.volume.cloud import Cloud
from tests.volume.contract import Admin, At, Map, May
from tests.volume.images import ImageServer
from tests.volume.lives import LIVES
from tests.volume.routes import ACTIONS, ROUTES, Route
from tests.volume.walker import Walker

NEWEST = MAXIMUM[1]


def changes(schema: Any) -> set[int]:
    """Minor numbers of the microversions at which a schema becomes another one."""
    match schema:
        case At():
            return {schema.since[1]} | changes(schema.schema)
        case Admin():
            return changes(schema.fields)
        case May():
            return changes(schema.schema)
        case Map():
            return changes(schema.value)
        case dict():
            return {n for each in schema.values() for n in changes(each)}
        case list():
            return {n for each in schema for n in changes(each)}
    return set()


def moments(since: int, *schemas: Any) -> list[int]:
    """The first version and the newest, and those before and after each change between them."""
    found = {since, NEWEST} | {n - less for schema in schemas for n in changes(schema) for less in (0, 1)}
    return sorted(n for n in found if since <= n <= NEWEST)


def of_route(route: Route) -> list[int]:
    return moments(route.since[1], route.body, route.asked)


def of_action(name: str) -> list[int]:
    return moments(ACTIONS[name][2][1], ACTIONS[name][1])


@pytest.fixture(scope="module")
def walker(whole_cloud: Cloud, image_port: int) -> Iterator[Walker]:
    with ImageServer(image_port) as images, Walker(whole_cloud, images) as found:
        yield found


@pytest.mark.parametrize("place", LIVES)
def test_what_changes_something(walker: Walker, place: str) -> None:
    """One life of each kind, from creation to end, at each version that any of its routes knows apart."""
    mine = [route for route in ROUTES if route.method != "GET" and route.path.split("/")[1] == place]
    at = {minor for route in mine for minor in of_route(route)}
    at |= {minor for name in ACTIONS for minor in of_action(name)} if place == "volumes" else set()
    for minor in sorted(at):
        LIVES[place](walker, minor)
    asked = {(route.method, route.path, minor) for route in mine for minor in of_route(route)}
    assert asked - walker.reached == set()
    if place == "volumes":
        assert {(name, minor) for name in ACTIONS for minor in of_action(name)} - walker.acted == set()


def test_what_is_read(walker: Walker) -> None:
    """Each GET, as a member and as an administrator; whom it is not for is told so, and nobody that it is not there."""
    for route in ROUTES:
        if route.method != "GET":
            continue
        for minor in of_route(route):
            answers = [walker.ask("GET", walker.filled(route.path), minor, user=who) for who in ("demo", "admin")]
            statuses = [answer.status_code for answer in answers]
            assert 200 in statuses and set(statuses) <= {200, 403}, (route.path, minor, statuses, answers[0].text)


def test_nothing_is_there_before_its_time(walker: Walker) -> None:
    """404 as of a route that does not exist, for a route and for an action."""
    for route in ROUTES:
        if route.since > (3, 0):
            body = {"os-complete": {}} if route.path == "/attachments/{id}/action" else {}
            answer = walker.ask(route.method, walker.filled(route.path), route.since[1] - 1, body, "admin")
            assert answer.status_code == 404, (route.method, route.path, answer.text)
    for name, (_, _, since) in ACTIONS.items():
        if since > (3, 0):
            path = walker.filled("/volumes/{id}/action")
            assert walker.ask("POST", path, since[1] - 1, {name: {}}, "admin").status_code == 404, name


def test_every_place_that_changes_something_has_a_life() -> None:
    assert {route.path.split("/")[1] for route in ROUTES if route.method != "GET"} == LIVES.keys()
