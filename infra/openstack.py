"""REST clients of the other services, found in the catalog: keystoneauth1 sessions, never a fixed address."""

from typing import Any

from keystoneauth1 import session as ks_session
from keystoneauth1.access import access
from keystoneauth1.identity import v3
from keystoneauth1.identity.access import AccessInfoPlugin

from infra.identity import TokenFacts
from infra.settings import Settings
from infra.transport import Transport

IMAGE, NETWORK, VOLUME, COMPUTE = "image", "network", "block-storage", "compute"
"""Service types as the catalog names them; keystoneauth1 knows their older aliases."""


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


class UserClient:
    """Calls other services with a user's own token and catalog, so that their answer is what the user may see."""

    def __init__(self, transport: ks_session.Session, token: str, facts: TokenFacts, settings: Settings) -> None:
        body = {"token": {"catalog": facts.catalog, "user": {"id": facts.user_id}, "methods": ["token"]}}
        info = access.AccessInfoV3(body=body, auth_token=token)
        self._auth = AccessInfoPlugin(info, auth_url=settings.identity_url)
        self._session, self._region = transport, settings.region

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
        return self._session.request(
            path,
            method,
            auth=self._auth,
            endpoint_filter=found_as(service_type, self._region),
            raise_exc=False,
            **kwargs,
        )
