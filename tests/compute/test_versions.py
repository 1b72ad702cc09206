"""Versions: documents without a token, negotiation, headers."""

from typing import Any

import httpx
import pytest

from tests.compute.conftest import HTTP, Api, Cloud

BOTH = ("OpenStack-API-Version", "X-OpenStack-Nova-API-Version")


def ask(cloud: Cloud, path: str, **headers: str) -> httpx.Response:
    return httpx.get(cloud.settings.url("compute", path), headers=headers, **HTTP)


@pytest.mark.parametrize("path", ["/v2.1", "/v2.1/"])
def test_document_needs_no_token(cloud: Cloud, path: str) -> None:
    version = ask(cloud, path).json()["version"]
    assert (version["min_version"], version["version"], version["status"]) == ("2.1", "2.96", "CURRENT")
    assert version["links"][0]["href"] == cloud.settings.url("compute", "/v2.1/")


def test_root_lists_the_version(cloud: Cloud) -> None:
    answer = ask(cloud, "/")
    assert answer.status_code == 200
    assert [version["id"] for version in answer.json()["versions"]] == ["v2.1"]


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, "2.1"),
        ({"OpenStack-API-Version": "compute 2.53"}, "2.53"),
        ({"OpenStack-API-Version": "identity 3.2, compute 2.10"}, "2.10"),
        ({"OpenStack-API-Version": "volume 3.10"}, "2.1"),
        ({"X-OpenStack-Nova-API-Version": "2.26"}, "2.26"),
        ({"X-OpenStack-Nova-API-Version": "latest"}, "2.96"),
        ({"OpenStack-API-Version": "compute 2.90", "X-OpenStack-Nova-API-Version": "2.2"}, "2.90"),
    ],
)
def test_negotiated_version_is_echoed(cloud: Cloud, headers: dict[str, str], expected: str) -> None:
    answer = ask(cloud, "/v2.1", **headers)
    assert answer.headers[BOTH[0]] == f"compute {expected}"
    assert answer.headers[BOTH[1]] == expected
    assert set(BOTH) <= {name.strip() for name in answer.headers["Vary"].split(",")}


@pytest.mark.parametrize(
    ("number", "status", "title"),
    [
        ("2.97", 406, "computeFault"),
        ("2.0", 406, "computeFault"),
        ("3.1", 406, "computeFault"),
        ("2", 400, "badRequest"),
        ("2.01", 400, "badRequest"),
        ("x", 400, "badRequest"),
    ],
)
def test_unacceptable_versions(cloud: Cloud, admin: Api, number: str, status: int, title: str) -> None:
    headers = {"OpenStack-API-Version": f"compute {number}", "X-Auth-Token": admin.token}
    answer = ask(cloud, "/v2.1/servers", **headers)
    assert answer.status_code == status
    error = answer.json()[title]
    assert error["code"] == status
    if status == 406:
        wanted = f"Version {number} is not supported by the API. Minimum is 2.1 and maximum is 2.96."
        assert error["message"] == wanted
    assert set(BOTH) <= {name.strip() for name in answer.headers["Vary"].split(",")}
    assert answer.headers["x-openstack-request-id"].startswith("req-")


def test_without_a_token(cloud: Cloud) -> None:
    answer = ask(cloud, "/v2.1/servers")
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == 401
    assert answer.headers["WWW-Authenticate"].startswith("Keystone uri=")
    assert answer.headers["x-openstack-request-id"].startswith("req-")


def test_unknown_path_and_method(admin: Api) -> None:
    assert admin.refused("GET", "/nothing", 404) == "The resource could not be found."
    admin.call("DELETE", "/servers", 405)


def test_project_in_the_path(admin: Api, demo: Api) -> None:
    assert "servers" in admin.get(f"/{admin.project_id}/servers")
    assert "Malformed request URL" in admin.refused("GET", f"/{demo.project_id}/servers", 400)


def test_body_limits(admin: Api) -> None:
    def send(content: Any, kind: str = "application/json") -> httpx.Response:
        return admin.http.post("/servers", content=content, headers={"Content-Type": kind})

    assert send(b"{").json()["badRequest"]["message"] == "Malformed request body"
    assert send(b"[]").status_code == 400
    assert send(b"[" * 100_000).status_code == 400
    assert send(b"{}", "text/html").json()["badMediaType"]["code"] == 415
    for text in (rb"a\u0000", rb"\ud800"):
        message = send(b'{"server": {"name": "' + text + b'"}}').json()["badRequest"]["message"]
        assert message == "Malformed request body: a character of it cannot be stored"
    assert "required property" in send(b'{"emoji": "\\ud83d\\ude00"}').json()["badRequest"]["message"]
    assert send(b" " * 200_000).json()["overLimit"]["code"] == 413


@pytest.mark.parametrize("path", ["/servers?image=%00", "/flavors?marker=%00"])
def test_nul_in_a_query(admin: Api, path: str) -> None:
    admin.refused("GET", path, 400)


@pytest.mark.parametrize("path", ["/flavors/%00", "/os-keypairs/a%00", "/servers/%00/metadata"])
def test_nul_in_a_path(admin: Api, path: str) -> None:
    admin.refused("GET", path, 404)
