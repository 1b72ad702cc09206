"""What a compute host's credential reaches, in whose hands it may be: its own host, and nothing of another."""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from infra import credentials
from tests.compute.conftest import Cloud
from tests.compute.test_hosts import REPORT
from tests.openstack import ROOT, OpenStack

MINE, OTHER = "node1", "node2"
SERVICES = ("glance", "neutron", "cinder", "nova")


class Caller:
    """Somebody with a token, at the compute and the network service."""

    def __init__(self, cloud: Cloud, token: str) -> None:
        self._settings = cloud.settings
        self._headers = {"X-Auth-Token": token, "OpenStack-API-Version": "compute 2.96"}

    def __call__(self, service: str, method: str, path: str, body: Any = None) -> int:
        url = self._settings.url(service, path)
        return httpx.request(method, url, json=body, headers=self._headers, timeout=30).status_code


def deeds(host: str) -> list[tuple[str, str, str, Any]]:
    """Everything that is said and asked in a host's name."""
    events = {"events": [{"instance_id": "b5d5dbb1-7bf5-4f9e-8b9a-5a5ad0b5bb6b", "power_state": 4, "reason": "x"}]}
    compute = f"/v2.1/kilonova/hosts/{host}"
    return [
        ("compute", "PUT", compute, {"host": REPORT}),
        ("compute", "GET", f"{compute}/claims", None),
        ("compute", "GET", f"{compute}/claims/b5d5dbb1-7bf5-4f9e-8b9a-5a5ad0b5bb6b", None),
        ("compute", "POST", f"{compute}/left", {"left": {"b5d5dbb1-7bf5-4f9e-8b9a-5a5ad0b5bb6b": {"resize": "req-1"}}}),
        ("compute", "POST", f"{compute}/events", events),
        ("network", "PUT", f"/v2.0/kilonova/hosts/{host}", {"tunnel_ip": "10.0.0.9"}),
        ("network", "GET", f"/v2.0/kilonova/topology?host={host}", None),
    ]


OF_OTHERS = [
    ("compute", "POST", "/v2.1/kilonova/consoles", {"token": "x"}),
    ("compute", "GET", "/v2.1/os-services", None),
    ("compute", "GET", "/v2.1/os-hypervisors", None),
    ("compute", "GET", "/v2.1/servers/detail?all_tenants=1", None),
    ("compute", "POST", "/v2.1/flavors", {"flavor": {"name": "x", "ram": 1, "vcpus": 1, "disk": 0}}),
    ("compute", "PUT", "/v2.1/os-services/b5d5dbb1-7bf5-4f9e-8b9a-5a5ad0b5bb6b", {"status": "disabled"}),
    ("identity", "GET", "/v3/users", None),
    ("identity", "POST", "/v3/users", {"user": {"name": "x"}}),
]


def test_a_host_is_itself_and_nobody_else(openstack: OpenStack, cloud: Cloud) -> None:
    host = Caller(cloud, openstack.token(credentials.host_user(MINE)))
    assert [d for d in deeds(MINE) if host(*d) not in (200, 204, 404)] == []
    assert [d for d in deeds(OTHER) if host(*d) != 403] == []
    assert [d for d in OF_OTHERS if host(*d) != 403] == []


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_is_no_host(openstack: OpenStack, cloud: Cloud, service: str) -> None:
    user = Caller(cloud, openstack.token(service))
    mine = [d for d in deeds(MINE) if d[0] == "compute" or service != "nova"]  # nova asks the network for any host
    assert [d for d in mine if user(*d) != 403] == []
    assert user("compute", "POST", "/v2.1/kilonova/consoles", {"token": "x"}) == (404 if service == "nova" else 403)


def test_a_name_alone_makes_no_host(openstack: OpenStack, cloud: Cloud) -> None:
    """A user that is called like a host, but has not the hosts' role."""
    keystone = httpx.Client(
        base_url=openstack.settings.identity_url, headers={"X-Auth-Token": openstack.token("admin")}, timeout=30
    )
    user = {"name": "host-mallory", "password": "hunter2-mallory", "domain_id": "default"}
    made = keystone.post("/users", json={"user": user}).json()["user"]["id"]
    projects = {p["name"]: p["id"] for p in keystone.get("/projects").json()["projects"]}
    roles = {r["name"]: r["id"] for r in keystone.get("/roles").json()["roles"]}
    try:
        for role in ("member", "service"):
            keystone.put(f"/projects/{projects['demo']}/users/{made}/roles/{roles[role]}").raise_for_status()
        who = {"name": "host-mallory", "password": user["password"], "domain": {"id": "default"}}
        scope = {"project": {"id": projects["demo"]}}
        body = {"auth": {"identity": {"methods": ["password"], "password": {"user": who}}, "scope": scope}}
        token = keystone.post("/auth/tokens", json=body).headers["X-Subject-Token"]
        assert [d for d in deeds("mallory") if Caller(cloud, token)(*d) != 403] == []
    finally:
        keystone.delete(f"/users/{made}")


@pytest.fixture
def kilonova(openstack: OpenStack) -> Iterator[Any]:
    kept = {n: v for n, v in os.environ.items() if not n.startswith(("KILONOVA_", "OS_"))}
    place = {
        "KILONOVA_STATE_DIR": str(openstack.settings.state_dir),
        "KILONOVA_PORT_OFFSET": str(openstack.settings.port_offset),
    }

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(ROOT / ".venv" / "bin" / "kilonova"), "host", *arguments]
        return subprocess.run(command, env=kept | place, capture_output=True, text=True, timeout=120)

    yield run
    run("revoke", "rack7")


def token_of(openstack: OpenStack, file: Path) -> str | None:
    known = json.loads(file.read_text())
    who = {"name": known["username"], "password": known["password"], "domain": {"id": "default"}}
    scope = {"project": {"name": "service", "domain": {"id": "default"}}}
    body = {"auth": {"identity": {"methods": ["password"], "password": {"user": who}}, "scope": scope}}
    answer = httpx.post(f"{openstack.settings.identity_url}/auth/tokens", json=body, timeout=60)
    return answer.headers.get("X-Subject-Token")


def test_a_credential_is_given_and_taken_back(openstack: OpenStack, cloud: Cloud, kilonova: Any) -> None:
    file = credentials.host_file(openstack.settings.state_dir, "rack7")
    for _ in range(2):  # the second one has another password, and the first is good for nothing
        old = json.loads(file.read_text())["password"] if file.exists() else ""
        added = kilonova("add", "rack7")
        assert added.returncode == 0, added.stdout + added.stderr
        assert file.stat().st_mode & 0o777 == 0o600 and json.loads(file.read_text())["password"] not in ("", old)
        assert json.loads(file.read_text())["password"] not in added.stdout
    keys = json.loads(credentials.host_keys(openstack.settings.state_dir, "rack7").read_text())
    assert keys["host"] == "rack7" and keys["keys"]
    assert "rack7" in kilonova("list").stdout.split()
    token = token_of(openstack, file)
    assert token is not None
    host = Caller(cloud, token)
    assert [d for d in deeds("rack7") if host(*d) not in (200, 204, 404)] == []
    assert kilonova("revoke", "rack7").returncode == 0 and not file.exists()
    end = time.monotonic() + 10
    while host(*deeds("rack7")[1]) != 401:
        assert time.monotonic() < end, "a revoked host goes on"
        time.sleep(0.5)
    assert "rack7" not in kilonova("list").stdout.split()
    assert kilonova("revoke", "rack7").returncode == 1
    assert kilonova("add", "../x").returncode == 2
