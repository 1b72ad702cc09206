"""The cloud that chaos is let loose on: several projects, plain HTTP, and every process's PID."""

import asyncio
import json
import os
import re
import signal
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from infra import credentials
from infra.settings import Settings
from tests.postgres import Server

UNSURE = (httpx.HTTPError, OSError)
KILONOVA = Path(__file__).resolve().parents[2] / ".venv" / "bin" / "kilonova"
ID = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
NO_ANSWER, KILLED = "no answer", "killed"


@dataclass
class Tenant:
    """A project with a user of its own; signs in again when its token is gone."""

    name: str
    password: str
    settings: Settings
    token: str = ""
    project: str = ""
    network: str = ""  # of its own, on hosts that are apart

    async def sign_in(self, http: httpx.AsyncClient) -> None:
        user = {"name": self.name, "password": self.password, "domain": {"id": "default"}}
        scope = {"project": {"name": self.name, "domain": {"id": "default"}}}
        body = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}}
        answer = await http.post(f"{self.settings.identity_url}/auth/tokens", json=body)
        answer.raise_for_status()
        self.token = answer.headers["x-subject-token"]
        self.project = answer.json()["token"]["project"]["id"]


@dataclass
class Cloud:
    state_dir: Path
    offset: int
    database: Server | None = None
    apart: bool = False  # hosts that pretend guests, with VXLAN between them
    settings: Settings = field(init=False)
    tenants: list[Tenant] = field(default_factory=list)
    image: str = ""
    network: str = ""
    outside: str = ""  # the external network, where there are real guests
    failed: Counter[str] = field(default_factory=Counter)  # answers of 5xx
    unexpected: list[str] = field(default_factory=list)  # those of 500, which no trouble excuses
    asked: list[str] = field(default_factory=list)  # each change that was asked for, and each kill, with its time

    def __post_init__(self) -> None:
        self.settings = Settings(state_dir=self.state_dir, port_offset=self.offset)
        self.http = httpx.AsyncClient(timeout=20)
        self.admin = Tenant("admin", credentials.load(self.state_dir)["admin"], self.settings)

    async def call(self, who: Tenant, method: str, service: str, path: str, **more: Any) -> httpx.Response | None:
        """One request; None when nobody can say whether it arrived. Signs in first when needed."""
        try:
            if not who.token:
                await who.sign_in(self.http)
            headers = {"X-Auth-Token": who.token, "OpenStack-API-Version": "compute 2.90", **more.pop("headers", {})}
            answer = await self.http.request(method, self.settings.url(service, path), headers=headers, **more)
        except httpx.ConnectError:  # nothing was sent
            return None
        except UNSURE as error:
            self._note_change(who, method, service, path, more, f"{NO_ANSWER}: {type(error).__name__}")
            return None
        made = ID.search(answer.text) if method == "POST" and answer.status_code < 300 else None
        self._note_change(who, method, service, path, more, f"{answer.status_code} {made[0] if made else ''}".rstrip())
        if answer.status_code == 401:
            who.token = ""
            return None
        if answer.status_code >= 500:
            self.failed[f"{answer.status_code} {service}"] += 1
            if answer.status_code == 500:
                self.unexpected.append(f"500 {method} {service} {path}: {answer.text[:300]}")
            return None
        return answer

    def _note_change(self, who: Tenant, method: str, service: str, path: str, sent: dict[str, Any], came: str) -> None:
        if method != "GET":
            body = json.dumps(sent["json"])[:200] if "json" in sent else ""
            self.note(f"{who.name} {method} {service} {path} {body} -> {came}")

    def note(self, line: str) -> None:
        self.asked.append(f"{datetime.now(UTC).isoformat()} {line}")

    async def sure(self, who: Tenant, method: str, service: str, path: str, **more: Any) -> httpx.Response:
        """The same, until somebody answers."""
        for _ in range(240):
            answer = await self.call(who, method, service, path, **dict(more))
            if answer is not None:
                return answer
            await asyncio.sleep(0.5)
        raise SystemExit(f"nobody answers {method} {service} {path}")

    async def prepare(self, tenants: int, *, real_guests: bool) -> None:
        """Projects with a user each, an image, a network wide enough, no quota in the way."""
        made = await self.sure(self.admin, "GET", "identity", "/v3/roles?name=member")
        role = made.json()["roles"][0]["id"]
        for number in range(tenants):
            name = f"tenant{number}"
            project = {"project": {"name": name, "domain_id": "default"}}
            project_id = (await self.sure(self.admin, "POST", "identity", "/v3/projects", json=project)).json()[
                "project"
            ]["id"]
            user = {"user": {"name": name, "password": f"pw-{name}", "domain_id": "default"}}
            user_id = (await self.sure(self.admin, "POST", "identity", "/v3/users", json=user)).json()["user"]["id"]
            grant = f"/v3/projects/{project_id}/users/{user_id}/roles/{role}"
            await self.sure(self.admin, "PUT", "identity", grant)
            quota = {"quota_set": {"instances": -1, "cores": -1, "ram": -1}}
            await self.sure(self.admin, "PUT", "compute", f"/v2.1/os-quota-sets/{project_id}", json=quota)
            room = {"quota_set": {"volumes": -1, "gigabytes": -1}}
            await self.sure(self.admin, "PUT", "volume", f"/v3/os-quota-sets/{project_id}", json=room)
            ports = {"quota": {"port": -1}}
            await self.sure(self.admin, "PUT", "network", f"/v2.0/quotas/{project_id}", json=ports)
            self.tenants.append(Tenant(name, f"pw-{name}", self.settings))
            group = {"security_group": {"name": "chaos"}}
            await self.sure(self.tenants[-1], "POST", "network", "/v2.0/security-groups", json=group)
        ram = 96 if real_guests else 1
        for name, size in (("chaos", ram), ("chaos-larger", ram + (16 if real_guests else 1))):
            flavor = {"flavor": {"id": name, "name": name, "ram": size, "vcpus": 1, "disk": 1}}
            await self.sure(self.admin, "POST", "compute", "/v2.1/flavors", json=flavor)
        if real_guests:  # the one that `up` made
            found = await self.sure(self.admin, "GET", "image", "/v2/images?name=cirros")
            self.image = found.json()["images"][0]["id"]
        else:
            await self._upload()
        network = {"network": {"name": "chaos", "shared": True}}
        self.network = (await self.sure(self.admin, "POST", "network", "/v2.0/networks", json=network)).json()[
            "network"
        ]["id"]
        subnet = {"subnet": {"network_id": self.network, "ip_version": 4, "cidr": "10.99.0.0/20"}}
        await self.sure(self.admin, "POST", "network", "/v2.0/subnets", json=subnet)

    async def _upload(self) -> None:
        image = {"name": "chaos", "disk_format": "raw", "container_format": "bare", "visibility": "public"}
        self.image = (await self.sure(self.admin, "POST", "image", "/v2/images", json=image)).json()["id"]
        octets = {"Content-Type": "application/octet-stream"}
        data = f"/v2/images/{self.image}/file"
        await self.sure(self.admin, "PUT", "image", data, content=b"\0" * 4096, headers=octets)

    def networks(self, tenant: Tenant) -> list[str]:
        return [self.network, *([tenant.network] if tenant.network else [])]

    def pids(self) -> dict[str, int]:
        """PID of every process that may be killed, by its name."""
        found = {}
        for file in self.settings.run_dir.glob("*.pid"):
            if file.stem.startswith("supervis"):
                continue
            try:
                found[file.stem] = int(file.read_text().split()[0])
            except (OSError, ValueError, IndexError):
                continue
        if self.database:
            found["postgresql"] = self.database.pid
        return found

    def kill(self, name: str) -> bool:
        pid = self.pids().get(name)
        if not pid:
            return False
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return False
        self.note(f"{KILLED} {name}")
        return True
