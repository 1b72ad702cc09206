"""Another service as this host asks it: found in the catalog, with the service user's token."""

import re
from collections.abc import Iterator
from typing import Any

from keystoneauth1.exceptions import ClientException, EndpointNotFound
from keystoneauth1.session import Session

from infra.contracts.errors import NeighbourAway, refused
from infra.openstack import PLAIN, shortly

VERSIONED = re.compile(r"/v\d+(\.\d+)?(/|$)")
PASSING = frozenset({401, 408, 412, 425, 429})
"""Client errors that a repeat may better: token expired, too slow, changed since it was read, too early, too many."""

SHORT = frozenset({"GET", "POST", "DELETE"})
PAGE = 500


class Unexpected(NeighbourAway):
    """What a repeat may better: no answer, 5xx, or one of PASSING."""


class Service:
    """Requests below one service's internal endpoint. Every failure is sorted: Unexpected is transient, Hopeless is
    a refusal that no repeat betters."""

    def __init__(self, session: Session, service_type: str, version: str, region: str) -> None:
        self._session = session
        self._type, self._version, self._region = service_type, version, region
        self._known: tuple[object, str] = (None, "")

    def url(self, path: str) -> str:
        """Absolute URL of `path`; some catalogs name the version in the endpoint, others do not."""
        token, base = self._known  # a catalog comes with a token, and is searched once
        if token is None or token is not self._token:
            base = self._found()
            self._known = (self._token, base)
        return f"{base if VERSIONED.search(base) else base + self._version}{path}"

    @property
    def _token(self) -> object:
        return getattr(self._session.auth, "auth_ref", None)

    def _found(self) -> str:
        try:
            base = self._session.get_endpoint(
                service_type=self._type, interface=["internal", "public"], region_name=self._region
            )
        except EndpointNotFound as error:
            self._session.invalidate()  # the next try reads the catalog anew: the service may have come to it since
            raise self.out_of_reach(error) from error
        except ClientException as error:
            raise self.out_of_reach(error) from error
        if not base:
            raise Unexpected(f"The catalog has no {self._type} endpoint in region {self._region}")
        return str(base).rstrip("/")

    def request(self, method: str, path: str, **kwargs: Any) -> Any:
        """The response, whatever its status (a `requests.Response`); raises Unexpected when there is none."""
        headers = {"Accept": "application/json", **kwargs.pop("headers", {})}
        url = self.url(path)
        if method in SHORT and not kwargs.keys() - {"json"} and PLAIN.fullmatch(path):
            answer = self._shortly(method, url, headers, kwargs.get("json"))
            if answer is not None:
                return answer
        try:
            return self._session.request(url, method, raise_exc=False, log=False, headers=headers, **kwargs)
        except ClientException as error:
            raise self.out_of_reach(error) from error

    def _shortly(self, method: str, url: str, headers: dict[str, str], body: Any) -> Any:
        """See `shortly`; None, too, where the token itself cannot be had."""
        try:
            mine = self._session.get_auth_headers() or {}
        except ClientException:
            return None
        return shortly(self._session, method, url, {**headers, **mine}, body)

    def ask(self, method: str, path: str, *good: int, **kwargs: Any) -> Any:
        """The response if its status is one of `good` (default 200); raises as `unexpected` sorts it otherwise."""
        answer = self.request(method, path, **kwargs)
        if answer.status_code not in (good or (200,)):
            raise self.unexpected(answer)
        return answer

    def pages(self, path: str, kind: str, query: dict[str, Any], **kwargs: Any) -> Iterator[dict[str, Any]]:
        """Everything that the list `kind` at `path` has. A service that knows no pages gives all at once, again and
        again; one whose pages are shorter than was asked for says that there is a next one."""
        last = ""
        while True:
            params = {**query, "limit": PAGE} | ({"marker": last} if last else {})
            answer = self.ask("GET", path, params=params, **kwargs).json()
            found = answer[kind]
            yield from found
            more = any(link.get("rel") == "next" for link in answer.get(f"{kind}_links") or ())
            if not found or found[-1]["id"] == last or (len(found) < PAGE and not more):
                return
            last = found[-1]["id"]

    def unexpected(self, answer: Any) -> Exception:
        """The failure that an answer stands for: a client error that no repeat betters is a refusal."""
        status, text = answer.status_code, words(answer)[1] or "no reason given"
        if 400 <= status < 500 and status not in PASSING:
            return refused(self._type, text, code=status)
        return self.passing(answer)

    def passing(self, answer: Any) -> Unexpected:
        """An answer, whatever its status, that the caller knows to be about a state that changes by itself."""
        text = words(answer)[1] or "no reason given"
        return Unexpected(f"The {self._type} service answered {answer.status_code}: {text}")

    def out_of_reach(self, error: ClientException) -> Unexpected:
        return Unexpected(f"The {self._type} service cannot be asked: {type(error).__name__}")


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
