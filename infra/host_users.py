"""Compute hosts as users of Keystone: made, listed and revoked by its v3 API, whosever Keystone it is."""

import secrets
import time
from functools import cached_property
from typing import Any

from keystoneauth1.exceptions import Conflict
from keystoneauth1.session import Session

from infra.credentials import HOST_ROLE, host_user
from infra.openstack import found_as
from infra.settings import Settings


class NoSuchHost(Exception):
    """No user of Keystone stands for this host."""


class HostUsers:
    """`session` is an administrator's. Source: Identity API v3, users, roles and implied roles."""

    def __init__(self, settings: Settings, session: Session) -> None:
        self._session, self._settings = session, settings

    def add(self, host: str) -> str:
        """Make the host's user, or give it another password, and enable it; the password."""
        password = secrets.token_urlsafe(24)
        wanted = {"name": host_user(host), "domain_id": "default", "password": password, "enabled": True}
        known = self._find("users", name=host_user(host), domain_id="default")
        if known:
            user_id = known["id"]
            self._call("PATCH", f"/users/{user_id}", {"user": {"password": password, "enabled": True}})
            # Keystone revokes what was issued before this instant, and tokens count whole seconds: one that is
            # issued within this second is refused. Who reads the new password after this call is not.
            time.sleep(1)
        else:
            user_id = self._call("POST", "/users", {"user": wanted})["user"]["id"]
        project = self._find("projects", name=self._settings.service_project, domain_id="default")
        self._call("PUT", f"/projects/{project['id']}/users/{user_id}/roles/{self._role()}")
        return password

    def revoke(self, host: str) -> None:
        """Delete the host's user: Keystone refuses its tokens at once. NoSuchHost when there is none."""
        known = self._find("users", name=host_user(host), domain_id="default")
        if not known:
            raise NoSuchHost(f"there is no user {host_user(host)}")
        self._call("DELETE", f"/users/{known['id']}")

    def names(self) -> list[str]:
        users = self._call("GET", "/users?domain_id=default")["users"]
        prefix = host_user("")
        return sorted(user["name"].removeprefix(prefix) for user in users if user["name"].startswith(prefix))

    def _role(self) -> str:
        """The hosts' role, which implies `service`; made where there is none."""
        role = self._find("roles", name=HOST_ROLE)
        if not role:
            role = self._call("POST", "/roles", {"role": {"name": HOST_ROLE}})["role"]
        service = self._find("roles", name="service")
        if service:
            self._call("PUT", f"/roles/{role['id']}/implies/{service['id']}")
        return str(role["id"])

    def _find(self, kind: str, **filters: str) -> dict[str, Any]:
        query = "&".join(f"{name}={value}" for name, value in filters.items())
        found = self._call("GET", f"/{kind}?{query}")[kind]
        return dict(found[0]) if found else {}

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        about = found_as("identity", self._settings.region)
        try:
            answer = self._session.request(self._prefix + path, method, json=body, endpoint_filter=about)
        except Conflict:
            if method == "PUT":
                return None
            raise
        return answer.json() if answer.content else None

    @cached_property
    def _prefix(self) -> str:
        """Of a catalog that names Keystone without its API's version."""
        url = self._session.get_endpoint(**found_as("identity", self._settings.region)) or ""
        return "" if url.rstrip("/").endswith("/v3") else "/v3"
