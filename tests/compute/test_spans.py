"""Microversions as data on the field: of requests and of answers, in nested objects and lists, with several spans."""

from typing import Annotated, Any

from pydantic import Field

from api.compute.views.spans import Shown, at
from workflows.body import Body, Since, out_of_version


class Inner(Shown):
    tag: Annotated[Any, Since(32, 36), Since(42)]


class Outer(Shown):
    old: Annotated[Any, Since(1, 9)]
    named: Annotated[Any, Since(10)] = Field(None, alias="on:the wire")
    inner: list[Inner] | Inner | None = None


class NetworkWish(Body):
    tag: Annotated[str | None, Since(32, 36), Since(42)] = None


class Wish(Body):
    networks: list[NetworkWish] | str = []


def shown(version: int) -> dict[str, Any]:
    return at(version, Outer, {"id": 1, "old": 1, "on:the wire": 1, "inner": [{"id": 2, "tag": 3}, {"id": 4}]})


def test_answers_have_what_their_microversion_has() -> None:
    assert shown(9) == {"id": 1, "old": 1, "inner": [{"id": 2}, {"id": 4}]}
    assert shown(32) == shown(42) == {"id": 1, "on:the wire": 1, "inner": [{"id": 2, "tag": 3}, {"id": 4}]}
    assert shown(37) == {"id": 1, "on:the wire": 1, "inner": [{"id": 2}, {"id": 4}]}
    assert at(41, Outer, {"inner": {"tag": 1}}) == {"inner": {}} and at(41, Outer, {"inner": ""}) == {"inner": ""}


def test_requests_name_the_place_of_what_is_too_young() -> None:
    asked: Any = {"networks": [{"tag": "a"}, {}]}
    assert [(place, name) for place, name, _ in out_of_version(Wish, asked, 41)] == [("networks", "tag")]
    assert [*out_of_version(Wish, asked, 36)] == [*out_of_version(Wish, asked, 42)] == []
    assert [*out_of_version(Wish, {"networks": "auto"}, 41)] == []
