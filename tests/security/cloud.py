"""A cloud of two QEMU hosts, each with a guest that has a port and a volume: what there is to be stolen."""

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from infra import credentials
from infra.settings import Settings
from tests.ports import free_offset

ROOT = Path(__file__).resolve().parents[2]
KILONOVA = ROOT / ".venv" / "bin" / "kilonova"
BUILD_S = 180
MiB = 1 << 20


class User:
    """Calls of one cloud user, with a token of its own project."""

    def __init__(self, settings: Settings, name: str, project: str) -> None:
        self._settings = settings
        password = credentials.load(settings.state_dir)[name]
        who = {"name": name, "password": password, "domain": {"id": "default"}}
        scope = {"project": {"name": project, "domain": {"id": "default"}}}
        body = {"auth": {"identity": {"methods": ["password"], "password": {"user": who}}, "scope": scope}}
        answer = httpx.post(f"{settings.identity_url}/auth/tokens", json=body, timeout=60)
        answer.raise_for_status()
        self.token, self.id = answer.headers["X-Subject-Token"], answer.json()["token"]["user"]["id"]
        self.project_id = answer.json()["token"]["project"]["id"]

    def send(self, service: str, method: str, path: str, body: Any = None) -> httpx.Response:
        """`body`: JSON, or bytes of an image."""
        version = "volume 3.70" if service == "volume" else "compute 2.96"
        headers = {"X-Auth-Token": self.token, "OpenStack-API-Version": version}
        content: dict[str, Any] = {"json": body}
        if isinstance(body, bytes):
            headers["Content-Type"], content = "application/octet-stream", {"content": body}
        return httpx.request(method, self._settings.url(service, path), headers=headers, timeout=60, **content)

    def ok(self, service: str, method: str, path: str, body: Any = None) -> Any:
        answer = self.send(service, method, path, body)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text[:500]}"
        return answer.json() if answer.content else None


class Cloud:
    """`servers`: by the name of their host, as the compute service shows them."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.admin = User(settings, "admin", "admin")
        self.image = self._image()
        self.network = self._network()
        flavor = {"name": "guest", "ram": 64, "vcpus": 1, "disk": 1}
        self._flavor = self.admin.ok("compute", "POST", "/v2.1/flavors", {"flavor": flavor})["flavor"]["id"]
        ids = {host: self._boot(host) for host in ("node1", "node2")}
        self.servers = {host: self.until(server, "ACTIVE") for host, server in ids.items()}
        self.volumes = {host: self._volume(server) for host, server in ids.items()}

    def until(self, server: str, status: str) -> dict[str, Any]:
        end = time.monotonic() + BUILD_S
        while (shown := self.show(server))["status"] != status:
            assert time.monotonic() < end and shown["status"] != "ERROR", shown
            time.sleep(0.8)
        return shown

    def show(self, server: str) -> dict[str, Any]:
        found: dict[str, Any] = self.admin.ok("compute", "GET", f"/v2.1/servers/{server}")["server"]
        return found

    def _image(self) -> str:
        wanted = {"name": "blank", "disk_format": "raw", "container_format": "bare", "visibility": "private"}
        image: str = self.admin.ok("image", "POST", "/v2/images", wanted)["id"]
        self.admin.ok("image", "PUT", f"/v2/images/{image}/file", bytes(MiB))
        return image

    def _network(self) -> str:
        network: str = self.admin.ok("network", "POST", "/v2.0/networks", {"network": {"name": "n"}})["network"]["id"]
        subnet = {"network_id": network, "cidr": "192.168.57.0/24", "ip_version": 4}
        self.admin.ok("network", "POST", "/v2.0/subnets", {"subnet": subnet})
        return network

    def _boot(self, host: str) -> str:
        server = {
            "name": host,
            "imageRef": self.image,
            "flavorRef": self._flavor,
            "networks": [{"uuid": self.network}],
            "availability_zone": f"nova:{host}",
        }
        made: str = self.admin.ok("compute", "POST", "/v2.1/servers", {"server": server})["server"]["id"]
        return made

    def _volume(self, server: str) -> str:
        volume: str = self.admin.ok("volume", "POST", "/v3/volumes", {"volume": {"size": 1}})["volume"]["id"]
        end = time.monotonic() + BUILD_S
        for wanted in ("available", "in-use"):
            while self.admin.ok("volume", "GET", f"/v3/volumes/{volume}")["volume"]["status"] != wanted:
                assert time.monotonic() < end, wanted
                time.sleep(0.2)
            if wanted == "available":
                body = {"volumeAttachment": {"volumeId": volume}}
                self.admin.ok("compute", "POST", f"/v2.1/servers/{server}/os-volume_attachments", body)
        return volume


@contextmanager
def cloud(state: Path) -> Iterator[Cloud]:
    """As `kilonova up` starts it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("KILONOVA_")}
    offset = free_offset()
    env = {**kept, "KILONOVA_STATE_DIR": str(state), "KILONOVA_PORT_OFFSET": str(offset)}
    try:
        subprocess.run([KILONOVA, "up", "--driver", "qemu", "--hosts", "2", "--no-image"], env=env, check=True)
        yield Cloud(Settings(state_dir=state, port_offset=offset))
    finally:
        subprocess.run([KILONOVA, "down"], env=env, check=True)
