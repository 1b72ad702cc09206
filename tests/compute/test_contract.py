"""The contract itself: it takes Nova's own samples, and nothing that has a field more, a field less or another type."""

import json
from typing import Any

import pytest

from tests.compute.interceptor import violations

FLAVOR: dict[str, Any] = {
    "id": "1", "name": "m1", "ram": 512, "disk": 1, "swap": 0, "vcpus": 1, "OS-FLV-EXT-DATA:ephemeral": 0,
    "OS-FLV-DISABLED:disabled": False, "os-flavor-access:is_public": True, "rxtx_factor": 1.0, "description": None,
    "links": [{"rel": "self", "href": "http://nova/v2.1/flavors/1"}],
}  # fmt: skip


def wrong(flavor: dict[str, Any], minor: int = 75, status: int = 200) -> list[str]:
    return violations("GET", "/flavors/1", minor, b"", status, json.dumps({"flavor": flavor}).encode())


def test_a_right_answer() -> None:
    assert wrong(FLAVOR) == [] and wrong(FLAVOR | {"extra_specs": {"a": "b"}}) == []


@pytest.mark.parametrize("name", FLAVOR)
def test_a_field_less_and_a_field_of_another_type(name: str) -> None:
    assert wrong({key: value for key, value in FLAVOR.items() if key != name})
    assert wrong(FLAVOR | {name: {"another": "type"}})


def test_a_field_too_many_and_at_the_wrong_version() -> None:
    assert wrong(FLAVOR | {"more": 1})
    assert wrong(FLAVOR, 54) and wrong(FLAVOR, 102)  # before description; after rxtx_factor
    assert wrong(FLAVOR | {"swap": ""}) and not wrong(FLAVOR | {"swap": ""}, 74)
    assert wrong(FLAVOR | {"extra_specs": {}}, 60)


def test_statuses_errors_and_requests() -> None:
    assert wrong(FLAVOR, status=201)
    assert violations("GET", "/nowhere", 1, b"", 200, b"{}")
    assert violations("GET", "/servers", 1, b"", 404, b'{"itemNotFound": {"code": 404, "message": "x"}}') == []
    assert violations("GET", "/servers", 1, b"", 404, b'{"notFound": {"code": 404, "message": "x"}}')
    assert violations("GET", "/servers", 1, b"", 409, b'{"conflictingRequest": {"code": 404, "message": "x"}}')
    asked = json.dumps({"flavor": {"name": "a", "more": 1}}).encode()
    assert violations("POST", "/flavors", 75, asked, 200, json.dumps({"flavor": FLAVOR}).encode())
    assert violations("DELETE", "/servers/x", 1, b"", 204, b"{}")
