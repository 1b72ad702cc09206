"""A real identity service and a real network service on loopback, shared by this folder's tests."""

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
import uvicorn
from starlette.types import ASGIApp

import api.network.app
from infra import credentials
from infra.settings import Settings
from tests.network.interceptor import Contract
from tests.openstack import OpenStack, state_dir_in_environment
from workers.sign_in import as_service

Json = dict[str, Any]
HTTP: Json = {"timeout": 60, "verify": False}  # loading certificates for plain HTTP would cost 30 ms a client


@contextmanager
def served(app: ASGIApp, port: int) -> Iterator[None]:
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    end = time.monotonic() + 30
    while not server.started:
        assert thread.is_alive() and time.monotonic() < end, "the service did not start"
        time.sleep(0.02)
    yield
    server.should_exit = True
    thread.join(10)


class Api:
    """One user's calls of the network service, below /v2.0."""

    def __init__(self, url: str, token: str, project_id: str) -> None:
        self.http = httpx.Client(base_url=f"{url}/v2.0", headers={"X-Auth-Token": token}, **HTTP)
        self.token, self.project_id = token, project_id

    def get(self, path: str, status: int = 200, /, **params: Any) -> Any:
        return self._json(self.http.get(path, params=params), status)

    def post(self, path: str, member: str, status: int = 201, /, **attributes: Any) -> Any:
        """The resource made, or the whole error body."""
        body = self._json(self.http.post(path, json={member: attributes}), status)
        return body[member] if status == 201 else body["NeutronError"]

    def put(self, path: str, member: str, status: int = 200, /, **attributes: Any) -> Any:
        body = self._json(self.http.put(path, json={member: attributes}), status)
        return body[member] if status == 200 else body["NeutronError"]

    def delete(self, path: str, status: int = 204) -> Any:
        body = self._json(self.http.delete(path), status)
        return body and body["NeutronError"]

    @staticmethod
    def _json(answer: httpx.Response, status: int) -> Any:
        assert answer.status_code == status, f"{answer.request.method} {answer.request.url}: {answer.text}"
        return answer.json() if answer.content else None

    def network(self, **attributes: Any) -> Json:
        return self.post("/networks", "network", **attributes)

    def subnet(self, network: Json, cidr: str = "10.1.0.0/24", **attributes: Any) -> Json:
        return self.post("/subnets", "subnet", network_id=network["id"], ip_version=4, cidr=cidr, **attributes)

    def port(self, network: Json, **attributes: Any) -> Json:
        return self.post("/ports", "port", network_id=network["id"], **attributes)

    def default_group(self) -> Json:
        return self.get("/security-groups", name="default", project_id=self.project_id)["security_groups"][0]


@dataclass
class Cloud:
    settings: Settings
    admin: Api
    service: Api
    people: dict[str, str] = field(default_factory=dict)
    """Passwords of the users that `tenant` signs in, by role."""

    @property
    def url(self) -> str:
        return self.settings.url("network")

    def login(self, name: str, password: str, project: str) -> Api:
        domain = {"id": "default"}
        auth = {
            "identity": {
                "methods": ["password"],
                "password": {"user": {"name": name, "password": password, "domain": domain}},
            },
            "scope": {"project": {"name": project, "domain": domain}},
        }
        answer = httpx.post(f"{self.settings.identity_url}/auth/tokens", json={"auth": auth}, **HTTP)
        assert answer.status_code == 201, answer.text
        return Api(self.url, answer.headers["X-Subject-Token"], answer.json()["token"]["project"]["id"])

    def tenant(self, role: str = "member") -> Api:
        """A user of a new project, which no other call is told of. The user has the role on all of them: Keystone works
        half as long as for a new one."""
        project = f"t-{uuid.uuid4().hex[:8]}"
        with httpx.Client(headers={"X-Auth-Token": self.admin.token}, **HTTP) as keystone:
            password = self.people.get(role) or self._person(keystone, role)
            made = keystone.post(f"{self.settings.identity_url}/projects", json={"project": {"name": project}})
            assert made.status_code == 201, made.text
        return self.login(f"any-{role}", password, project)

    def _person(self, keystone: httpx.Client, role: str) -> str:
        """The password of a new user with the role on every project."""
        base, password = self.settings.identity_url, uuid.uuid4().hex
        user = {"name": f"any-{role}", "password": password, "domain_id": "default"}
        user_id = keystone.post(f"{base}/users", json={"user": user}).json()["user"]["id"]
        role_id = keystone.get(f"{base}/roles", params={"name": role}).json()["roles"][0]["id"]
        grant = f"domains/default/users/{user_id}/roles/{role_id}/inherited_to_projects"
        granted = keystone.put(f"{base}/OS-INHERIT/{grant}")
        assert granted.status_code == 204, granted.text
        self.people[role] = password
        return password


@pytest.fixture(scope="package")
def cloud(keystone: OpenStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    settings = keystone.join(tmp_path_factory.mktemp("network"), router_wait_s=0.0)  # no host carries any here
    passwords = credentials.load(settings.state_dir)
    with (
        state_dir_in_environment(settings.state_dir),
        served(Contract(api.network.app.create(mine := as_service(settings, "neutron"))), settings.port("network")),
    ):
        cloud = Cloud(mine, None, None)  # type: ignore[arg-type]
        cloud.admin = cloud.login("admin", passwords["admin"], "admin")
        cloud.service = cloud.login("nova", passwords["nova"], "service")
        yield cloud


@pytest.fixture
def admin(cloud: Cloud) -> Api:
    return cloud.admin


@pytest.fixture
def service(cloud: Cloud) -> Api:
    return cloud.service


@pytest.fixture
def demo(cloud: Cloud) -> Api:
    """A member of a project of its own."""
    return cloud.tenant()


@pytest.fixture(scope="package")
def anyone(cloud: Cloud) -> Api:
    """A member whose project several tests share: for requests that change nothing."""
    return cloud.tenant()


@pytest.fixture
def other(cloud: Cloud) -> Api:
    """A member of another project."""
    return cloud.tenant()


@pytest.fixture
def provider(admin: Api) -> Callable[..., Json]:
    """Makes a shared flat network on a physical network of its own."""

    def make(**attributes: Any) -> Json:
        physical = {"provider:network_type": "flat", "provider:physical_network": f"phys-{uuid.uuid4().hex[:8]}"}
        return admin.network(**{"name": "provider", "shared": True, "router:external": True, **physical, **attributes})

    return make
