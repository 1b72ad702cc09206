"""A running identity service for this folder's tests: bootstrapped store, real HTTP on a free port."""

import os
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from api.identity.app import create
from infra import credentials
from infra.bootstrap import bootstrap
from infra.settings import Settings

Json = dict[str, Any]


def free_offset() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1]) - 5000


@dataclass
class Api:
    """The API as one token's holder sees it."""

    http: httpx.Client
    token: str

    def __call__(self, method: str, path: str, body: Json | None = None, **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()} | {"X-Auth-Token": self.token}
        raw = {name.encode(): value.encode("latin-1") for name, value in named.items()}
        return self.http.request(method, f"/v3{path}", json=body, headers=raw)

    def ok(self, method: str, path: str, body: Json | None = None) -> Json:
        answer = self(method, path, body)
        assert answer.status_code < 300, (method, path, answer.status_code, answer.text)
        return answer.json() if answer.content else {}

    def make(self, kind: str, **values: Any) -> Json:
        made: Json = self.ok("POST", f"/{kind}s", {kind: values})[kind]
        return made

    def validate(self, subject: str, query: str = "") -> httpx.Response:
        return self("GET", f"/auth/tokens{query}", X_Subject_Token=subject)


@dataclass
class Cloud:
    settings: Settings
    http: httpx.Client
    known: dict[str, "Api"] = field(default_factory=dict)

    def as_again(self, user: str) -> "Api":
        """Like `as_`, with the token of an earlier call while that is good."""
        api = self.known.get(user)
        if api is None or api.validate(api.token).status_code != 200:
            api = self.known[user] = self.as_(user)
        return api

    @property
    def passwords(self) -> dict[str, str]:
        return credentials.load(self.settings.state_dir)

    def sign_in(self, user: str, password: str | None = None, scope: Any = "own") -> httpx.Response:
        """POST /v3/auth/tokens by password; scope "own" is the user's bootstrapped project, None sends none."""
        if scope == "own":
            own = {"admin": "admin", "demo": "demo"}.get(user, "service")
            scope = {"project": {"name": own, "domain": {"id": "default"}}}
        who = {"name": user, "domain": {"name": "Default"}, "password": password or self.passwords.get(user, "")}
        auth: Json = {"identity": {"methods": ["password"], "password": {"user": who}}}
        return self.post_auth(auth | ({"scope": scope} if scope else {}))

    def post_auth(self, auth: Json) -> httpx.Response:
        return self.http.post("/v3/auth/tokens", json={"auth": auth})

    def as_(self, user: str, password: str | None = None, scope: Any = "own") -> Api:
        answer = self.sign_in(user, password, scope)
        assert answer.status_code == 201, answer.text
        return Api(self.http, answer.headers["X-Subject-Token"])

    def by_token(self, token: str, scope: Any = None) -> httpx.Response:
        auth: Json = {"identity": {"methods": ["token"], "token": {"id": token}}}
        return self.post_auth(auth | ({"scope": scope} if scope else {}))


@dataclass
class Person:
    """A user of her own project, made for one test."""

    cloud: Cloud
    user: Json
    project: Json
    password: str

    @property
    def scope(self) -> Json:
        return {"project": {"id": self.project["id"]}}

    def try_sign_in(self, password: str | None = None) -> httpx.Response:
        return self.cloud.sign_in(self.user["name"], password or self.password, self.scope)

    def sign_in(self) -> Api:
        return self.cloud.as_(self.user["name"], self.password, self.scope)


class Server(uvicorn.Server):
    """Uvicorn in a thread, which may not touch signals."""

    def install_signal_handlers(self) -> None:
        return


def serve(settings: Settings) -> Iterator[Cloud]:
    config = uvicorn.Config(create(settings), "127.0.0.1", settings.port("identity"), log_config=None)
    server = Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 20
    while not server.started:
        assert time.monotonic() < deadline and thread.is_alive(), "the identity service did not start"
        time.sleep(0.02)
    with httpx.Client(base_url=settings.url("identity"), timeout=30) as http:
        yield Cloud(settings, http)
    server.should_exit = True
    thread.join(10)


@pytest.fixture(scope="package")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    state: Path = tmp_path_factory.mktemp("identity")
    settings = Settings(state_dir=state, port_offset=free_offset())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KILONOVA_DATABASE_URL", os.environ.get("KILONOVA_TEST_DATABASE_URL", ""))
        patch.setenv("KILONOVA_IDENTITY_LOCKOUT_FAILURES", "3")
        patch.setenv("KILONOVA_IDENTITY_LOCKOUT_S", "3")
        bootstrap(settings)
        yield from serve(settings)


@pytest.fixture
def admin(cloud: Cloud) -> Api:
    return cloud.as_again("admin")


@pytest.fixture
def demo(cloud: Cloud) -> Api:
    return cloud.as_again("demo")


@pytest.fixture
def person(cloud: Cloud, admin: Api, request: pytest.FixtureRequest) -> Person:
    """Has `member` on a project of her own."""
    name = f"{request.node.name[:40]}-{time.monotonic_ns()}"
    user = admin.make("user", name=name, password="first password", domain_id="default")
    project = admin.make("project", name=name, domain_id="default")
    admin.ok("PUT", f"/projects/{project['id']}/users/{user['id']}/roles/{role_id(admin, 'member')}")
    return Person(cloud, user, project, "first password")


def role_id(api: Api, name: str) -> str:
    found: str = api.ok("GET", f"/roles?name={name}")["roles"][0]["id"]
    return found
