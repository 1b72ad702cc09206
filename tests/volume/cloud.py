"""A cloud for these tests: Keystone, the real volume service and the real storage daemon, as processes."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from infra import credentials
from infra.nbd import nbd_socket, storage_daemon_argv
from infra.volume_doors import control_socket, forget, gate_argv
from tests.exchanges import VIOLATION
from tests.forked import Forked
from tests.openstack import OpenStack

ROOT = Path(__file__).parents[2]
LISTEN = {"nbd": nbd_socket, "nbd-gate": control_socket}
PROJECTS = {"admin": "admin", "demo": "demo"}


def until(ask: Callable[[], Any], seconds: float = 15.0) -> Any:
    """The first true answer of `ask`."""
    end = time.monotonic() + seconds
    while True:
        answer = ask()
        if answer:
            return answer
        assert time.monotonic() < end, f"not in time: {ask}"
        time.sleep(0.03)


def keeps_the_contract(answer: httpx.Response) -> None:
    if answer.status_code == VIOLATION:
        answer.read()
        raise AssertionError(answer.text)


class Cloud:
    def __init__(self, keystone: OpenStack, state_dir: Path) -> None:
        self.settings = keystone.join(state_dir, host="store1")
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("OS_", "KILONOVA_")) or "DATABASE" in k}
        self.env = kept | {
            "KILONOVA_STATE_DIR": str(state_dir),
            "KILONOVA_PORT_OFFSET": str(self.settings.port_offset),
            "KILONOVA_HOST": "store1",
            "PYTHONPATH": str(ROOT),
        }
        self.processes: dict[str, subprocess.Popen[bytes] | Forked] = {}
        self.tokens: dict[str, str] = {}
        self.project_ids: dict[str, str] = {}
        self.passwords: dict[str, str] = {}
        self.projects = dict(PROJECTS)
        self.http = httpx.Client(timeout=30, event_hooks={"response": [keeps_the_contract]})
        self.wrap: list[str] = []  # what the volume service is started with, such as a mount namespace
        for name in ("run", "log"):
            (state_dir / name).mkdir(exist_ok=True)

    # Processes

    def start(self, name: str) -> None:
        log = self.settings.log_dir / f"{name}.log"
        ours = ["tests.volume.serve", name, {"volume": "cinder"}.get(name, "admin")]
        if name not in LISTEN and not self.wrap:
            self.processes[name] = Forked(ours, self.env, log)
        else:
            argv = [*self.wrap, sys.executable, "-m", *ours]
            if name in LISTEN:
                argv = (storage_daemon_argv if name == "nbd" else gate_argv)(self.settings)
            with log.open("ab") as said:
                self.processes[name] = subprocess.Popen(argv, env=self.env, stderr=said, stdout=said, cwd=ROOT)
        if name in LISTEN:
            until(lambda: self.listens(name))
        else:
            until(lambda: self.answers(name), 90)

    def listens(self, name: str) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(LISTEN[name](self.settings))) == 0

    def answers(self, name: str) -> bool:
        assert self.processes[name].poll() is None, (self.settings.log_dir / f"{name}.log").read_text()[-3000:]
        try:
            return self.http.get(self.settings.url(name, "/v3")).status_code == 200
        except httpx.TransportError:
            return False

    def kill(self, name: str, number: int = signal.SIGKILL) -> None:
        process = self.processes.pop(name)
        process.send_signal(number)
        process.wait(20)

    def close(self) -> None:
        for name in list(self.processes):
            self.kill(name, signal.SIGTERM)
        forget(self.settings)
        self.http.close()

    # Requests

    def token(self, user: str) -> str:
        if user not in self.tokens:
            identity = {
                "methods": ["password"],
                "password": {
                    "user": {
                        "name": user,
                        "domain": {"id": "default"},
                        "password": self.passwords.get(user) or credentials.load(self.settings.state_dir)[user],
                    }
                },
            }
            project = self.projects.get(user, "service")
            scope = {"project": {"name": project, "domain": {"id": "default"}}}
            answer = self.http.post(
                self.settings.url("identity", "/v3/auth/tokens"), json={"auth": {"identity": identity, "scope": scope}}
            )
            assert answer.status_code == 201, answer.text
            self.tokens[user] = answer.headers["X-Subject-Token"]
            self.project_ids[user] = answer.json()["token"]["project"]["id"]
        return self.tokens[user]

    def person(self, name: str, role: str, project: str = "demo") -> str:
        """A new user with one role on a project; its name, for `user=`."""
        identity = self.settings.url("identity", "/v3")
        admin = {"X-Auth-Token": self.token("admin")}
        self.token(project)
        body = {"user": {"name": name, "password": f"{name}-secret", "domain_id": "default"}}
        made = self.http.post(f"{identity}/users", json=body, headers=admin).json()["user"]["id"]
        roles = {r["name"]: r["id"] for r in self.http.get(f"{identity}/roles", headers=admin).json()["roles"]}
        place = f"{identity}/projects/{self.project_ids[project]}/users/{made}/roles/{roles[role]}"
        assert self.http.put(place, headers=admin).status_code == 204
        self.passwords[name], self.projects[name] = f"{name}-secret", project
        return name

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        user: str = "demo",
        version: str = "3.71",
        headers: dict[str, str] | None = None,
    ) -> Any:
        """The response of the volume API as `user`."""
        headers = {"X-Auth-Token": self.token(user), "OpenStack-API-Version": f"volume {version}", **(headers or {})}
        return self.http.request(method, self.settings.url("volume", f"/v3{path}"), json=body, headers=headers)

    def ok(self, method: str, path: str, body: Any = None, **options: Any) -> Any:
        answer = self.call(method, path, body, **options)
        assert answer.status_code < 300, answer.text
        return answer.json() if answer.content else None

    # Volumes

    def status(self, volume_id: str) -> str:
        answer = self.call("GET", f"/volumes/{volume_id}", user="nova")
        return answer.json()["volume"]["status"] if answer.status_code == 200 else "gone"

    def volume(self, **wanted: Any) -> str:
        """A new volume that is ready."""
        user = wanted.pop("user", "demo")
        volume_id = self.ok("POST", "/volumes", {"volume": {"size": 1} | wanted}, user=user)["volume"]["id"]
        self.settled(volume_id, "available")
        return volume_id

    def settled(self, volume_id: str, status: str, seconds: float = 20) -> None:
        until(lambda: self.status(volume_id) not in ("creating", "downloading", "deleting"), seconds)
        assert self.status(volume_id) == status

    def snapshot(self, volume_id: str, **wanted: Any) -> str:
        body = {"snapshot": {"volume_id": volume_id} | wanted}
        snapshot_id = self.ok("POST", "/snapshots", body)["snapshot"]["id"]
        until(lambda: self.ok("GET", f"/snapshots/{snapshot_id}")["snapshot"]["status"] != "creating")
        assert self.ok("GET", f"/snapshots/{snapshot_id}")["snapshot"]["status"] == "available"
        return snapshot_id

    def attach(self, volume_id: str, host: str = "host1", **wanted: Any) -> dict[str, Any]:
        """A complete attachment, made as the compute workers make it."""
        body = {"volume_uuid": volume_id, "instance_uuid": None, "connector": None} | wanted
        attachment = self.ok("POST", "/attachments", {"attachment": body}, user="nova")["attachment"]
        path = f"/attachments/{attachment['id']}"
        connected = self.ok("PUT", path, {"attachment": {"connector": {"host": host}}}, user="nova")["attachment"]
        self.ok("POST", f"{path}/action", {"os-complete": {}}, user="nova")
        return connected

    def delete(self, volume_id: str) -> None:
        assert self.call("DELETE", f"/volumes/{volume_id}", user="nova").status_code == 202
        until(lambda: self.status(volume_id) == "gone")

    def file(self, volume_id: str) -> Path:
        return self.settings.state_dir / "volumes" / f"{volume_id}.raw"


def nbd_url(connection: dict[str, Any]) -> str:
    return f"nbd+unix:///{connection['export']}?socket={connection['socket']}"


def io(target: str, *commands: str, read_only: bool = False) -> bool:
    """Whether qemu-io could do all of it; `read -P` fails when other bytes are there."""
    argv = ["qemu-io", *(["-r"] if read_only else []), "-f", "raw"]
    for command in commands:
        argv += ["-c", command]
    done = subprocess.run([*argv, target], capture_output=True, text=True, timeout=30)
    return done.returncode == 0 and "verification failed" not in done.stdout
