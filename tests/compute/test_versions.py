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
    assert (version["min_version"], version["version"], version["status"]) == ("2.1", "2.104", "CURRENT")
    assert version["links"][0]["href"] == cloud.settings.url("compute", "/v2.1/")


def test_root_lists_the_version(cloud: Cloud) -> None:
    answer = ask(cloud, "/")
    assert answer.status_code == 200
    old, new = answer.json()["versions"]
    assert (old["id"], old["status"], old["version"], old["min_version"]) == ("v2.0", "SUPPORTED", "", "")
    assert (new["id"], new["status"], new["version"], new["min_version"]) == ("v2.1", "CURRENT", "2.104", "2.1")
    for version in (old, new):
        (link,) = version["links"]
        assert (
            ask(cloud, link["href"].removeprefix(cloud.settings.url("compute"))).json()["version"]["id"]
            == version["id"]
        )


def test_version_2_0_passes_over_what_it_does_not_know(cloud: Cloud, admin: Api) -> None:
    headers = {"X-Auth-Token": admin.token, "OpenStack-API-Version": "compute 2.104"}
    body = {"flavor": {"name": "old", "ram": 1, "vcpus": 1, "disk": 1, "nobody knows": 1, "description": 5}, "nor": 1}
    answer = httpx.post(
        cloud.settings.url("compute", f"/v2/{admin.project_id}/flavors"), json=body, headers=headers, **HTTP
    )
    assert answer.status_code == 200 and not set(BOTH) & set(answer.headers)
    assert "description" not in answer.json()["flavor"]  # whatever version the header asks for
    assert admin.refused("POST", "/flavors", 400, json=body)


def test_a_header_that_comes_twice(cloud: Cloud) -> None:
    twice = [("OpenStack-API-Version", "identity 3.2"), ("OpenStack-API-Version", "compute 2.10")]
    assert httpx.get(cloud.settings.url("compute", "/v2.1"), headers=twice, **HTTP).headers[BOTH[1]] == "2.10"


@pytest.mark.parametrize("service", ["compute", "network", "volume"])  # Placement's links are relative
def test_only_a_named_proxy_says_where_clients_reach_us(
    cloud: Cloud, service: str, request: pytest.FixtureRequest
) -> None:
    def links(**headers: str) -> str:
        answer = httpx.get(cloud.settings.url(service, "/"), headers=headers, **HTTP)
        return str(answer.json()["versions"][-1]["links"][0]["href"])

    forged = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "evil.example", "Host": "worse.example"}
    assert links(**forged).startswith(cloud.settings.url(service))
    named = cloud.settings.trusted_proxies  # one list, which every service's copy of the settings has
    named.extend(["192.0.2.0/24", "127.0.0.0/8"])
    request.addfinalizer(named.clear)
    assert links(**forged).startswith("https://evil.example/")
    assert links(**forged | {"X-Forwarded-Host": "cloud.example, inner.example:1"}).startswith("https://cloud.example/")
    assert links(Host="worse.example").startswith(cloud.settings.url(service))
    bad = httpx.get(cloud.settings.url(service, "/"), headers={"X-Forwarded-Host": "a b/c"}, **HTTP)
    assert bad.status_code == 400


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, "2.1"),
        ({"OpenStack-API-Version": "compute 2.53"}, "2.53"),
        ({"OpenStack-API-Version": "identity 3.2, compute 2.10"}, "2.10"),
        ({"OpenStack-API-Version": "volume 3.10"}, "2.1"),
        ({"X-OpenStack-Nova-API-Version": "2.26"}, "2.26"),
        ({"X-OpenStack-Nova-API-Version": "latest"}, "2.104"),
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
        ("2.105", 406, "computeFault"),
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
        wanted = f"Version {number} is not supported by the API. Minimum is 2.1 and maximum is 2.104."
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
