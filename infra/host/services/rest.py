"""Another service as this host asks it: found in the catalog, with the service user's token."""

import re
from typing import Any

from keystoneauth1.session import Session

VERSIONED = re.compile(r"/v\d+(\.\d+)?(/|$)")


class Unexpected(Exception):
    """An answer that a repeat may better: 5xx, or credentials that identity does not know (yet)."""


class Service:
    """Requests below one service's internal endpoint. Connection failures propagate: they are transient."""

    def __init__(self, session: Session, service_type: str, version: str, region: str) -> None:
        self._session = session
        self._type, self._version, self._region = service_type, version, region

    def url(self, path: str) -> str:
        """Absolute URL of `path`; some catalogs name the version in the endpoint, others do not."""
        base = self._session.get_endpoint(
            service_type=self._type, interface=["internal", "public"], region_name=self._region
        )
        if not base:
            raise Unexpected(f"the catalog has no {self._type} endpoint in region {self._region}")
        base = base.rstrip("/")
        return f"{base if VERSIONED.search(base) else base + self._version}{path}"

    def request(self, method: str, path: str, **kwargs: Any) -> Any:
        """The response, whatever its status (a `requests.Response`)."""
        headers = {"Accept": "application/json", **kwargs.pop("headers", {})}
        return self._session.request(self.url(path), method, raise_exc=False, log=False, headers=headers, **kwargs)

    def ask(self, method: str, path: str, *good: int, **kwargs: Any) -> Any:
        """The response if its status is one of `good` (default 200); raises Unexpected otherwise."""
        answer = self.request(method, path, **kwargs)
        if answer.status_code not in (good or (200,)):
            raise self.unexpected(answer)
        return answer

    def unexpected(self, answer: Any) -> Unexpected:
        return Unexpected(f"{self._type} answered {answer.status_code}: {words(answer)[1]}")


def words(answer: Any) -> tuple[str, str]:
    """(type, message) of an error in the format of Neutron, Cinder, Nova or Glance; never more than 500 characters."""
    try:
        body = answer.json()
    except ValueError:
        return "", f"{answer.reason or 'error'}"
    if not isinstance(body, dict):
        return "", ""
    if isinstance(body.get("message"), str):
        return "", body["message"][:500]
    kind, inner = next(iter(body.items()), ("", {}))
    if isinstance(inner, dict):
        return str(inner.get("type") or kind), str(inner.get("message", ""))[:500]
    return str(kind), str(inner)[:500]
