"""Users of the embedded Keystone and Glance, over plain HTTP."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx

from tests.openstack import OpenStack

Json = dict[str, Any]
OCTETS = {"Content-Type": "application/octet-stream"}
DEFAULT = {"id": "default"}


@dataclass
class Person:
    """A user with a role on a project, both new."""

    openstack: OpenStack
    name: str
    password: str
    user_id: str
    project_id: str

    def try_sign_in(self, password: str = "") -> httpx.Response:
        user = {"name": self.name, "password": password or self.password, "domain": DEFAULT}
        identity = {"methods": ["password"], "password": {"user": user}}
        body = {"auth": {"identity": identity, "scope": {"project": {"id": self.project_id}}}}
        return httpx.post(f"{self.openstack.settings.identity_url}/auth/tokens", json=body, timeout=60)

    def sign_in(self, password: str = "") -> "Api":
        answer = self.try_sign_in(password)
        assert answer.status_code == 201, answer.text
        return Api(self.openstack, answer.headers["X-Subject-Token"])


class Api:
    """Calls with one token."""

    def __init__(self, openstack: OpenStack, token: str) -> None:
        self.openstack, self.token = openstack, token
        self._http = httpx.Client(headers={"X-Auth-Token": token}, timeout=60)

    def __call__(self, method: str, path: str, body: Any = None, service: str = "identity", **more: Any) -> Any:
        base = self.openstack.settings.identity_url if service == "identity" else self.openstack.settings.url(service)
        return self._http.request(method, f"{base}{path}", json=body, **more)

    def ok(self, method: str, path: str, body: Any = None, service: str = "identity", **more: Any) -> Any:
        answer = self(method, path, body, service, **more)
        assert answer.status_code < 300, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content and "json" in answer.headers["Content-Type"] else answer

    def works(self) -> bool:
        """Whether the token is good, asked as our services ask."""
        answer = self("GET", "/auth/tokens?nocatalog", headers={"X-Subject-Token": self.token})
        assert answer.status_code in (200, 401, 404), answer.text
        return answer.status_code == 200

    def image(self, data: bytes | None = None, /, **fields: Any) -> Json:
        """A new image, active when there are data."""
        body = {"name": "i", "disk_format": "raw", "container_format": "bare"} | fields
        made = self.ok("POST", "/v2/images", body, "image")
        if data is not None:
            self.ok("PUT", f"/v2/images/{made['id']}/file", None, "image", content=data, headers=OCTETS)
        return self.show(made)

    def upload(self, image: Json, data: Any) -> httpx.Response:
        path = f"/v2/images/{image['id']}/file"
        answer: httpx.Response = self("PUT", path, None, "image", content=data, headers=OCTETS)
        return answer

    def show(self, image: Json) -> Json:
        shown: Json = self.ok("GET", f"/v2/images/{image['id']}", None, "image")
        return shown

    def role(self, name: str) -> str:
        return str(self.ok("GET", f"/roles?name={name}")["roles"][0]["id"])


def person(openstack: OpenStack, role: str = "member") -> Person:
    admin = Api(openstack, openstack.token("admin"))
    name, password = f"p-{uuid.uuid4().hex[:8]}", uuid.uuid4().hex
    project = admin.ok("POST", "/projects", {"project": {"name": name, "domain_id": "default"}})["project"]["id"]
    user = {"user": {"name": name, "password": password, "domain_id": "default"}}
    user_id = admin.ok("POST", "/users", user)["user"]["id"]
    admin.ok("PUT", f"/projects/{project}/users/{user_id}/roles/{admin.role(role)}")
    return Person(openstack, name, password, user_id, project)


Make = Callable[..., Person]
