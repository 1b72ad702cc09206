"""A user of the cloud's APIs over HTTP."""

import time
from typing import Any

import httpx

from infra import credentials
from infra.settings import Settings

NEWEST = {"compute": {"OpenStack-API-Version": "compute 2.104"}}


class Tenant:
    def __init__(self, settings: Settings, name: str = "admin") -> None:
        self.settings = settings
        password = credentials.load(settings.state_dir)[name]
        user = {"name": name, "password": password, "domain": {"id": "default"}}
        scope = {"project": {"name": name, "domain": {"id": "default"}}}
        body = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}}
        answer = httpx.post(f"{settings.identity_url}/auth/tokens", json=body)
        self._token = {"X-Auth-Token": answer.headers["x-subject-token"]}

    def call(self, method: str, service: str, path: str, body: Any = None, **headers: str) -> Any:
        headers = {**self._token, **NEWEST.get(service, {}), **headers}
        content = {"content": body} if isinstance(body, bytes) else {"json": body} if body is not None else {}
        answer = httpx.request(
            method,
            self.settings.url(service, path),
            headers=headers,
            timeout=30,
            **content,  # type: ignore[arg-type]
        )
        assert answer.status_code < 400, answer.text
        return answer.json() if answer.content else None

    def image(self) -> str:
        made = self.call(
            "POST", "image", "/v2/images", {"name": "disk", "disk_format": "raw", "container_format": "bare",
                                            "visibility": "public"},
        )  # fmt: skip
        octets = {"Content-Type": "application/octet-stream"}
        self.call("PUT", "image", f"/v2/images/{made['id']}/file", bytes(1024), **octets)
        return str(made["id"])

    def network(self) -> str:
        made = self.call("POST", "network", "/v2.0/networks", {"network": {"name": "net", "shared": True}})["network"]
        subnet = {"network_id": made["id"], "ip_version": 4, "cidr": "10.8.0.0/20"}
        self.call("POST", "network", "/v2.0/subnets", {"subnet": subnet})
        return str(made["id"])

    def flavor(self) -> str:
        wanted = {"name": "small", "ram": 64, "vcpus": 1, "disk": 1}
        return str(self.call("POST", "compute", "/v2.1/flavors", {"flavor": wanted})["flavor"]["id"])

    def server(self, image: str, flavor: str, network: str, **more: Any) -> str:
        wanted = {"name": "vm", "imageRef": image, "flavorRef": flavor, "networks": [{"uuid": network}], **more}
        return str(self.call("POST", "compute", "/v2.1/servers", {"server": wanted})["server"]["id"])

    def events(self, server: str, version: str = "2.104") -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """The server's newest action, and its steps."""
        path = f"/v2.1/servers/{server}/os-instance-actions"
        newest = self.call("GET", "compute", path)["instanceActions"][0]
        asked = {"OpenStack-API-Version": f"compute {version}"}
        action = self.call("GET", "compute", f"{path}/{newest['request_id']}", **asked)["instanceAction"]
        return action, action.get("events", [])

    def until(self, server: str, *states: str, patience_s: float = 40) -> str:
        end = time.monotonic() + patience_s
        while True:
            status = self.call("GET", "compute", f"/v2.1/servers/{server}")["server"]["status"]
            if status in states or time.monotonic() > end:
                return str(status)
            time.sleep(0.1)
