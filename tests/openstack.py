"""One Keystone and one Glance for a whole run of tests, and clouds of single folders that join them.

A folder's cloud has a state directory of its own and the common ports, at which the catalog says its services are.
Folders take turns: their clouds have package scope."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import httpx

from infra import credentials
from infra.bootstrap import bootstrap
from infra.settings import Settings
from tests.ports import free_offset
from tests.preloaded import Preloaded
from workers.processes import OPENSTACK, embedded_argv

ROOT = Path(__file__).resolve().parents[1]
PATIENCE_S = 90
HOSTS = ("extra", "kh1", "node1", "node2", "node3", "other")
"""Compute hosts of the tests' clouds, each with a user."""
CHEAP = {
    "password_hash_algorithm = bcrypt_sha256": "password_hash_algorithm = bcrypt",
    "password_hash_rounds = 10": "password_hash_rounds = 4",
}


class OpenStack:
    """The two services as processes, with state below `state_dir`."""

    def __init__(self, state_dir: Path, offset: int | None = None, **settings: Any) -> None:
        offset = free_offset() if offset is None else offset
        self.settings = Settings(state_dir=state_dir, port_offset=offset, **settings)
        self.processes: dict[str, subprocess.Popen[bytes] | Preloaded] = {}
        self.settings.log_dir.mkdir(parents=True, exist_ok=True)
        bootstrap(self.settings, HOSTS)
        cheap_passwords(self.settings)

    def start(self, *services: str, program: bool = False) -> None:
        """`identity`, `image`: those that do not run yet, all at once; returns when they answer.

        `program`: as a cloud starts them, each from nothing; else forked from a process that has loaded them."""
        new = [service for service in services if service not in self.processes]
        for service in new:
            argv, log = embedded_argv(self.settings, service), self.settings.log_dir / f"{OPENSTACK[service]}.log"
            if program:
                with log.open("ab") as said:
                    self.processes[service] = subprocess.Popen(argv, cwd=ROOT, stdout=said, stderr=said)
            else:
                self.processes[service] = Preloaded(argv[argv.index("-m") + 2 :], log)
        for service in new:
            self._wait(service)

    def _wait(self, service: str) -> None:
        end, url = time.monotonic() + PATIENCE_S, self.settings.url(service, "/")
        log = self.settings.log_dir / f"{OPENSTACK[service]}.log"
        with httpx.Client(timeout=5) as http:
            while True:
                try:
                    http.get(url)
                    return
                except httpx.TransportError:
                    assert self.processes[service].poll() is None and time.monotonic() < end, log.read_text()[-3000:]
                    time.sleep(0.05)

    def kill(self, service: str) -> None:
        process = self.processes.pop(service)
        process.kill()
        process.wait()

    def stop(self) -> None:
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
        self.processes.clear()

    def join(self, state_dir: Path, **settings: Any) -> Settings:
        """Settings of a cloud in `state_dir` whose identity and image services are these."""
        state_dir.mkdir(parents=True, exist_ok=True)
        shutil.copy(credentials.path(self.settings.state_dir), credentials.path(state_dir))
        return Settings(state_dir=state_dir, port_offset=self.settings.port_offset, **settings)

    def image_at(self, url: str) -> AbstractContextManager[None]:
        """Within the block the catalog names `url` as the image service."""
        return self.service_at("image", url)

    @contextmanager
    def service_at(self, kind: str, url: str) -> Iterator[None]:
        """Within the block the catalog names `url` as the service of this type."""
        with httpx.Client(headers={"X-Auth-Token": self.token("admin")}, timeout=30) as keystone:
            base = self.settings.identity_url
            service = keystone.get(f"{base}/services?type={kind}").json()["services"][0]["id"]
            endpoints = keystone.get(f"{base}/endpoints?service_id={service}").json()["endpoints"]
            for endpoint in endpoints:
                change = {"endpoint": {"url": url}}
                keystone.patch(f"{base}/endpoints/{endpoint['id']}", json=change).raise_for_status()
            try:
                yield
            finally:
                for endpoint in endpoints:
                    change = {"endpoint": {"url": endpoint["url"]}}
                    keystone.patch(f"{base}/endpoints/{endpoint['id']}", json=change).raise_for_status()

    def token(self, user: str) -> str:
        """A token of one of the first users, in the project that is its own."""
        password = credentials.load(self.settings.state_dir)[user]
        project = user if user in ("admin", "demo") else "service"
        who = {"name": user, "password": password, "domain": {"id": "default"}}
        scope = {"project": {"name": project, "domain": {"id": "default"}}}
        body = {"auth": {"identity": {"methods": ["password"], "password": {"user": who}}, "scope": scope}}
        answer = httpx.post(f"{self.settings.identity_url}/auth/tokens", json=body, timeout=60)
        assert answer.status_code == 201, answer.text
        return answer.headers["X-Subject-Token"]


def cheap_passwords(settings: Settings) -> None:
    """The fewest rounds that Keystone takes: tests make a thousand users, and two hashes of each took 120 ms. It cannot
    read its own bcrypt_sha256 of less than ten; whole clouds have that."""
    conf = settings.state_dir / "keystone" / "keystone.conf"
    text = conf.read_text()
    for ours, cheap in CHEAP.items():
        assert text.count(ours) == 1
        text = text.replace(ours, cheap)
    conf.write_text(text)


@contextmanager
def state_dir_in_environment(state_dir: Path) -> Iterator[None]:
    """Stores of services that run inside this process lie in `state_dir`."""
    old = os.environ.get("KILONOVA_STATE_DIR")
    os.environ["KILONOVA_STATE_DIR"] = str(state_dir)
    try:
        yield
    finally:
        del os.environ["KILONOVA_STATE_DIR"]
        if old is not None:
            os.environ["KILONOVA_STATE_DIR"] = old
