"""REST clients of the other services, found in the catalog: keystoneauth1 sessions, never a fixed address."""

import json as json_format
import re
from functools import cached_property
from typing import Any

import requests
from keystoneauth1 import session as ks_session
from keystoneauth1.access import access
from keystoneauth1.identity import v3
from keystoneauth1.identity.access import AccessInfoPlugin

from infra.identity import TokenFacts
from infra.settings import Settings
from infra.transport import Transport

IMAGE, NETWORK, VOLUME, COMPUTE = "image", "network", "block-storage", "compute"
"""Service types as the catalog names them; keystoneauth1 knows their older aliases."""
ELSEWHERE = frozenset({300, 301, 302, 303, 305, 307, 308, 401})
PLAIN = re.compile(r"[A-Za-z0-9/._-]+")
"""A path that is the same when it is quoted."""


def found_as(service_type: str, region: str) -> dict[str, Any]:
    """keystoneauth1's `endpoint_filter`; a catalog without internal endpoints has public ones."""
    return {"service_type": service_type, "interface": ["internal", "public"], "region_name": region}


def service_session(settings: Settings) -> ks_session.Session:
    """Session of this process's own service user (seed step 20: compute takes its own token)."""
    auth = v3.Password(
        auth_url=settings.identity_url,
        username=settings.service_username,
        password=settings.service_password.get_secret_value(),
        project_name=settings.service_project,
        user_domain_id="default",
        project_domain_id="default",
        reauthenticate=True,
    )
    return ks_session.Session(auth=auth, session=Transport(), timeout=60, connect_retries=3)


def shortly(
    session: ks_session.Session, method: str, url: str, headers: dict[str, str], json: Any = None
) -> requests.Response | None:
    """The answer to a small request without keystoneauth1 around it, which is a third of its CPU. None where more than
    one request may be needed: a token that is not taken any more, another place, no answer. What got no answer is asked
    again by keystoneauth1, as by itself: what is sent this way may be repeated."""
    transport = session.session
    if not isinstance(transport, Transport) or transport.cookies:
        return None
    body = None if json is None else json_format.dumps(json).encode()
    try:
        answer = transport.ask(method, url, {"Accept": "application/json", **headers}, session.timeout, body)
    except requests.RequestException:
        return None
    return None if answer.status_code in ELSEWHERE else answer


class UserClient:
    """Calls other services with a user's own token and catalog, so that their answer is what the user may see."""

    def __init__(self, transport: ks_session.Session, token: str, facts: TokenFacts, settings: Settings) -> None:
        self._session, self._region = transport, settings.region
        self._token, self._facts, self._identity_url = token, facts, settings.identity_url

    @cached_property
    def _auth(self) -> AccessInfoPlugin:
        body = {"token": {"catalog": self._facts.catalog, "user": {"id": self._facts.user_id}, "methods": ["token"]}}
        info = access.AccessInfoV3(body=body, auth_token=self._token)
        return AccessInfoPlugin(info, auth_url=self._identity_url)

    def get(self, service_type: str, path: str, **kwargs: Any) -> Any:
        """GET `path` below the service's endpoint; the response, whatever its status."""
        return self._request("GET", service_type, path, **kwargs)

    def send(self, method: str, service_type: str, path: str, **kwargs: Any) -> Any:
        """A request of any method to `path`; the response, whatever its status."""
        return self._request(method, service_type, path, **kwargs)

    def endpoint(self, service_type: str) -> str:
        """The public address of a service, as the catalog has it; "" for none."""
        where = {"service_type": service_type, "interface": "public", "region_name": self._region}
        return str(self._session.get_endpoint(auth=self._auth, **where) or "").rstrip("/")

    def post(self, service_type: str, path: str, **kwargs: Any) -> Any:
        """POST to `path`; the response, whatever its status."""
        return self._request("POST", service_type, path, **kwargs)

    def delete(self, service_type: str, path: str, **kwargs: Any) -> Any:
        """DELETE `path`; the response, whatever its status."""
        return self._request("DELETE", service_type, path, **kwargs)

    def _request(self, method: str, service_type: str, path: str, **kwargs: Any) -> Any:
        if method == "GET" and not kwargs.keys() - {"headers"} and PLAIN.fullmatch(path):
            headers = {**kwargs.get("headers", {}), "X-Auth-Token": self._token}
            base = self._base(service_type)
            answer = shortly(self._session, method, f"{base}/{path.lstrip('/')}", headers) if base else None
            if answer is not None:
                return answer
        return self._session.request(
            path,
            method,
            auth=self._auth,
            endpoint_filter=found_as(service_type, self._region),
            raise_exc=False,
            **kwargs,
        )

    def _base(self, service_type: str) -> str:
        """The service's address, "" for none: a catalog comes with what is known of a token, and is searched once."""
        found, key = self._facts.addresses, (service_type, self._region)
        if key not in found:
            where = found_as(service_type, self._region)
            found[key] = str(self._session.get_endpoint(auth=self._auth, **where) or "").rstrip("/")
        return found[key]
