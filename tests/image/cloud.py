"""A real identity service and a real image service on loopback, and users of both."""

import os
import random
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI

import api.identity.app
import api.image.app
from infra import credentials
from infra.bootstrap import bootstrap
from infra.settings import PORTS, Settings

Json = dict[str, Any]
HTTP: Json = {"timeout": 60, "verify": False}
OCTETS = {"Content-Type": "application/octet-stream"}
PATCH = "application/openstack-images-v2.1-json-patch"
ROOT = Path(__file__).parents[2]


def free_offset() -> int:
    while True:
        offset = random.randrange(12000, 45000)
        try:
            for service in ("identity", "image"):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", PORTS[service] + offset))
        except OSError:
            continue
        return offset


@contextmanager
def served(app: FastAPI, port: int) -> Iterator[None]:
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


@contextmanager
def process(settings: Settings, *limits: str) -> Iterator[subprocess.Popen[bytes]]:
    """The image service as a process that a test may kill or limit; ended with the block."""
    command = [sys.executable, "-m", "tests.image.serve", str(settings.state_dir), str(settings.port_offset), *limits]
    environment = {**os.environ, "KILONOVA_STATE_DIR": str(settings.state_dir)}
    started = subprocess.Popen(command, cwd=ROOT, env=environment)
    try:
        end = time.monotonic() + 30
        while True:
            try:
                httpx.get(settings.url("image", "/"), **HTTP)
                break
            except httpx.TransportError:
                assert started.poll() is None and time.monotonic() < end, "the service did not start"
                time.sleep(0.05)
        yield started
    finally:
        if started.poll() is None:
            started.kill()
        started.wait()


class Api:
    """One user's calls of the image service, below /v2."""

    def __init__(self, url: str, token: str, project_id: str) -> None:
        self.url, self.token, self.project_id = url, token, project_id
        headers = {"X-Auth-Token": token, "Accept": "application/json"}
        self.http = httpx.Client(base_url=f"{url}/v2", headers=headers, **HTTP)

    def call(self, method: str, path: str, status: int, **kwargs: Any) -> Any:
        """The parsed answer, which must have this status."""
        answer = self.http.request(method, path, **kwargs)
        assert answer.status_code == status, f"{method} {path}: {answer.status_code} {answer.text[:500]}"
        return answer.json() if answer.content and "json" in answer.headers["content-type"] else answer

    def create(self, status: int = 201, /, **fields: Any) -> Json:
        body = {"name": "i", "disk_format": "raw", "container_format": "bare"} | fields
        found: Json = self.call("POST", "/images", status, json=body)
        return found

    def upload(self, image: Json, data: bytes, status: int = 204, /, **headers: str) -> Any:
        path = f"/images/{image['id']}/file"
        return self.call("PUT", path, status, content=data, headers=OCTETS | headers)

    def active(self, data: bytes = b"x" * 1000, /, **fields: Any) -> Json:
        image = self.create(**fields)
        self.upload(image, data)
        found: Json = self.show(image)
        return found

    def show(self, image: Json, status: int = 200) -> Any:
        return self.call("GET", f"/images/{image['id']}", status)

    def patch(self, image: Json, status: int, *changes: Json) -> Any:
        import json

        path, content = f"/images/{image['id']}", json.dumps(changes)
        return self.call("PATCH", path, status, content=content, headers={"Content-Type": PATCH})

    def download(self, image: Json, status: int = 200, **headers: str) -> httpx.Response:
        answer = self.http.get(f"/images/{image['id']}/file", headers=headers)
        assert answer.status_code == status, (answer.status_code, answer.text[:500])
        return answer

    def delete(self, image: Json, status: int = 204) -> Any:
        return self.call("DELETE", f"/images/{image['id']}", status)

    def names(self, **query: Any) -> list[str]:
        return [image["name"] for image in self.call("GET", "/images", 200, params=query)["images"]]


@dataclass
class Cloud:
    settings: Settings

    def login(self, name: str, password: str, project: str) -> Api:
        domain = {"id": "default"}
        user = {"name": name, "password": password, "domain": domain}
        identity = {"methods": ["password"], "password": {"user": user}}
        body = {"auth": {"identity": identity, "scope": {"project": {"name": project, "domain": domain}}}}
        answer = httpx.post(f"{self.settings.identity_url}/auth/tokens", json=body, **HTTP)
        assert answer.status_code == 201, answer.text
        project_id = answer.json()["token"]["project"]["id"]
        return Api(self.settings.url("image"), answer.headers["X-Subject-Token"], project_id)

    def known(self, name: str, project: str) -> Api:
        return self.login(name, credentials.load(self.settings.state_dir)[name], project)

    def tenant(self, role: str = "member") -> Api:
        """A user of a new project."""
        name, password = f"t-{uuid.uuid4().hex[:8]}", uuid.uuid4().hex
        admin = self.known("admin", "admin")
        with httpx.Client(headers={"X-Auth-Token": admin.token}, **HTTP) as keystone:
            base = self.settings.identity_url
            project = keystone.post(f"{base}/projects", json={"project": {"name": name}}).json()["project"]["id"]
            user = {"name": name, "password": password, "domain_id": "default"}
            user_id = keystone.post(f"{base}/users", json={"user": user}).json()["user"]["id"]
            role_id = keystone.get(f"{base}/roles", params={"name": role}).json()["roles"][0]["id"]
            granted = keystone.put(f"{base}/projects/{project}/users/{user_id}/roles/{role_id}")
            assert granted.status_code == 204, granted.text
        return self.login(name, password, name)

    def files(self) -> list[str]:
        """Names of the data files, partial ones included."""
        return sorted(file.name for file in (self.settings.state_dir / "images").iterdir())


@contextmanager
def identity(state: Path) -> Iterator[Cloud]:
    """A cloud that has an identity service, and no image service yet."""
    settings = Settings(state_dir=state, port_offset=free_offset())
    old = os.environ.get("KILONOVA_STATE_DIR")
    os.environ["KILONOVA_STATE_DIR"] = str(state)
    bootstrap(settings)
    try:
        with served(api.identity.app.create(settings), settings.port("identity")):
            yield Cloud(settings)
    finally:
        os.environ.pop("KILONOVA_STATE_DIR")
        if old is not None:
            os.environ["KILONOVA_STATE_DIR"] = old
