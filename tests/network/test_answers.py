"""The contract that every answer in this folder is held to: that it knows every route, and that it can fail."""

import re
from typing import Any

import pytest
from fastapi.routing import APIRoute

from api.network.app import ROUTERS
from tests.network.conftest import Api
from tests.network.shapes import ROUTES, asked_too_much, route, violations

OURS = "/v2.0/kilonova/"


def served() -> list[tuple[str, str]]:
    """(method, path below /v2.0) of every route of the service, with something for each parameter."""
    routes = [each for router in ROUTERS for each in router.routes if isinstance(each, APIRoute)]
    paths = [(m, r.path) for r in routes for m in r.methods or () if r.path != "/" and not r.path.startswith(OURS)]
    return [(method, re.sub(r"{\w+}", "x", path.removeprefix("/v2.0"))) for method, path in paths]


def test_every_route_has_a_shape_and_every_shape_a_route() -> None:
    known = {(method, path): route(method, path) for method, path in served()}
    assert [each for each, found in known.items() if found is None] == []
    used = set(map(id, known.values()))
    assert [each.path for each in ROUTES if id(each) not in used and "(qos/)" not in each.path] == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"more": 1}, "answer/network/more: too many"),
        ({"mtu": None}, "answer/network/mtu: None"),
        ({"mtu": "1450"}, "answer/network/mtu: '1450'"),
        ({"created_at": "2026-01-01"}, "answer/network/created_at: '2026-01-01'"),
        ({"provider:network_type": "flat"}, "answer/network/provider:segmentation_id: missing"),
    ],
)
def test_what_is_too_many_missing_or_of_another_type_is_refused(demo: Api, change: dict[str, Any], words: str) -> None:
    shown = demo.network()
    assert violations("GET", "/networks/x", set(), 200, {"network": shown}) == []
    assert words in violations("GET", "/networks/x", set(), 200, {"network": shown | change})
    del shown["mtu"]
    assert violations("GET", "/networks/x", set(), 200, {"network": shown}) == ["answer/network/mtu: missing"]
    assert violations("GET", "/networks/x", {"id"}, 200, {"network": shown}) != []
    assert violations("GET", "/networks/x", {"id"}, 200, {"network": {"id": shown["id"]}}) == []


def test_other_statuses_routes_and_errors_are_refused() -> None:
    assert violations("DELETE", "/networks/x", set(), 200, None) == ["status 200, not 204"]
    assert violations("GET", "/nothing", set(), 200, None) == ["the API reference has no such route"]
    assert violations("GET", "/networks/x", set(), 404, {"error": "no"}) != []
    good = {"NeutronError": {"type": "NetworkNotFound", "message": "gone", "detail": ""}}
    assert violations("GET", "/networks/x", set(), 404, good) == []


def test_what_a_request_has_too_much_is_refused() -> None:
    made = {"network": {"name": "n", "mtu": 1450}}
    assert asked_too_much({"network": {"name": "n"}}, made) == []
    assert asked_too_much({"network": {"name": "n", "more": 1}}, made) == ["request/network/more: too many"]
    assert asked_too_much({"networks": [{"more": 1}]}, {"networks": [{"name": "n"}]}) == [
        "request/networks/more: too many"
    ]
