"""A cloud for a compute host: the real services in this process, and claims written as the scheduler writes them."""

import contextlib
import subprocess
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI

import api.network.app
import api.volume.app
from api.compute.app import create_compute
from infra import credentials
from infra.database import Database
from infra.host.services.control import ControlClient
from infra.nbd import storage_daemon_argv
from infra.openstack import service_session
from infra.settings import Settings
from infra.tables.compute import Allocation
from infra.volume_doors import forget, gate_argv
from tests.host.waiting import until
from tests.openstack import OpenStack
from workers.sign_in import as_host, as_service

HOST = "kh1"


def new_id() -> str:
    return str(uuid.uuid4())


class Cloud:
    """Network, volume and compute API served by threads, and Keystone; `settings` are those of one compute host."""

    def __init__(self, keystone: OpenStack, state_dir: Path) -> None:
        plain = keystone.join(state_dir, host=HOST)
        for directory in (plain.run_dir, plain.log_dir):
            directory.mkdir(parents=True, exist_ok=True)
        self.settings = as_host(plain)
        self.session = service_session(self.settings)
        self.control = ControlClient(self.settings, self.session)
        self.compute = Database("compute", state_dir=state_dir)
        self._servers: list[tuple[uvicorn.Server, threading.Thread]] = []
        self._nbd: subprocess.Popen[bytes] | None = None
        self.gate: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._serve(api.network.app.create(as_service(self._anonymous(), "neutron")), "network")
        self._serve(create_compute(as_service(self._anonymous(), "nova"), object()), "compute")  # type: ignore[arg-type]

    def start_volumes(self) -> None:
        self.start_nbd()
        self.start_gate()
        self._serve(api.volume.app.create(as_service(self._anonymous(), "cinder")), "volume")

    def start_nbd(self) -> None:
        self._nbd = subprocess.Popen(storage_daemon_argv(self.settings))

    def start_gate(self) -> None:
        self.gate = subprocess.Popen(gate_argv(self.settings))

    def stop_nbd(self) -> None:
        assert self._nbd
        self._nbd.kill()
        self._nbd.wait(10)

    def _anonymous(self) -> Settings:
        return self.settings.model_copy(update={"service_username": ""})

    def _serve(self, app: FastAPI, service: str) -> None:
        config = uvicorn.Config(app, host="127.0.0.1", port=self.settings.port(service), log_level="warning")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        until(lambda: server.started)
        self._servers.append((server, thread))

    def close(self) -> None:
        for server, thread in reversed(self._servers):
            server.should_exit = True
            thread.join(10)
        for process in (self._nbd, self.gate):
            if process:
                process.terminate()
                process.wait(10)
        forget(self.settings)

    def claim(self, instance_id: str, attempt: int = 1, host: str = HOST) -> str:
        self.unclaim(instance_id)
        with self.compute.write() as session:
            session.add(
                Allocation(
                    consumer_id=instance_id,
                    instance_id=instance_id,
                    host=host,
                    attempt=attempt,
                    vcpus=1,
                    memory_mb=64,
                    disk_gb=0,
                )
            )
        return instance_id

    def unclaim(self, instance_id: str) -> None:
        with self.compute.write() as session:
            if row := session.get(Allocation, instance_id):
                session.delete(row)

    @contextlib.contextmanager
    def user(self, name: str = "demo") -> Iterator["User"]:
        with httpx.Client(timeout=30, verify=False) as http:
            yield User(self.settings, name, http)


class User:
    """A person with a token, for what tenants prepare and look at."""

    def __init__(self, settings: Settings, name: str, http: httpx.Client) -> None:
        self._settings, self._http = settings, http
        user = {"name": name, "domain": {"id": "default"}, "password": credentials.load(settings.state_dir)[name]}
        scope = {"project": {"name": name, "domain": {"id": "default"}}}
        identity = {"methods": ["password"], "password": {"user": user}}
        answer = http.post(
            f"{settings.identity_url}/auth/tokens", json={"auth": {"identity": identity, "scope": scope}}
        )
        assert answer.status_code == 201, answer.text
        self._token = answer.headers["X-Subject-Token"]
        self.project_id: str = answer.json()["token"]["project"]["id"]

    def call(self, service: str, method: str, path: str, body: Any = None) -> Any:
        """Parsed answer of a call that must succeed; None for 404 to a GET."""
        headers = {"X-Auth-Token": self._token, "OpenStack-API-Version": f"{service} 3.44"}
        answer = self._http.request(method, self._settings.url(service, path), json=body, headers=headers)
        if answer.status_code == 404 and method == "GET":
            return None
        assert answer.status_code < 300, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None
