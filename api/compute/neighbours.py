"""What other services tell the caller with the caller's own token: images, networks, ports, groups, volumes."""

import time
from collections.abc import Callable
from typing import Any

from keystoneauth1 import exceptions as ks_exceptions
from keystoneauth1 import session as ks_session

from api.common.errors import ServiceError
from api.compute.call import ComputeCall
from infra.openstack import IMAGE, NETWORK, VOLUME, UserClient
from infra.transport import Transport

CACHE_S = 2.0
Body = dict[str, Any]
SERVICES = {IMAGE: "image", NETWORK: "network", VOLUME: "volume", "identity": "identity"}


class Neighbours:
    """One connection pool, and answers kept for two seconds per project where the caller says that is good enough."""

    def __init__(self) -> None:
        self.transport = ks_session.Session(session=Transport(), timeout=30, connect_retries=1)
        self._known: dict[tuple[str, str, str], tuple[float, Body]] = {}

    def get(
        self, call: ComputeCall, service: str, path: str, *, good: Callable[[Body], object] | None = None
    ) -> Body | None:
        """The JSON object at `path`; None for 404 (and for 400 and 403: not the caller's). With `good`, an answer that
        is at most two seconds old will do if it is good: what was just made is never missed. 503 when the service
        fails."""
        key = (call.context.project_id, service, path)
        if good and (known := self._known.get(key)) and known[0] > time.monotonic() and good(known[1]):
            return known[1]
        answer = self._asked(call, "GET", service, path)
        if answer.status_code in (400, 403, 404):
            return None
        if answer.status_code != 200:
            raise ServiceError(503, f"The {SERVICES[service]} service answered {answer.status_code}; try again.")
        body: Body = answer.json()
        if good:
            self._keep(key, body)
        return body

    def send(self, call: ComputeCall, method: str, service: str, path: str, **more: Any) -> Body | None:
        """The JSON object that answers a change, {} for an answer without one; None for 404. 400, 403 and 409 in the
        neighbour's own words, with the kind of error as the title where it names one; 503 as `get`."""
        answer = self._asked(call, method, service, path, **more)
        if answer.status_code == 404:
            return None
        if answer.status_code in (400, 403, 409):
            title, words = _refusal(answer)
            raise ServiceError(answer.status_code, words, title=title)
        if not 200 <= answer.status_code < 300:
            raise ServiceError(503, f"The {SERVICES[service]} service answered {answer.status_code}; try again.")
        return dict(answer.json()) if answer.content else {}

    def endpoint(self, call: ComputeCall, service: str) -> str:
        return self._client(call).endpoint(service)

    def _client(self, call: ComputeCall) -> UserClient:
        return UserClient(self.transport, call.context.token, call.context.facts, call.settings)

    def _asked(self, call: ComputeCall, method: str, service: str, path: str, **more: Any) -> Any:
        headers = {"X-OpenStack-Request-ID": call.context.request_id, **more.pop("headers", {})}
        try:
            answer = self._client(call).send(method, service, path, headers=headers, **more)
        except ks_exceptions.ClientException as error:
            raise ServiceError(503, f"The {SERVICES[service]} service is not reachable; try again.") from error
        if answer.status_code == 401:
            raise ServiceError(401, "The request you have made requires authentication.")
        return answer

    def _keep(self, key: tuple[str, str, str], body: Body) -> None:
        moment = time.monotonic()
        if len(self._known) > 500:
            self._known = {k: v for k, v in list(self._known.items()) if v[0] > moment}
        self._known[key] = (moment + CACHE_S, body)


def _refusal(answer: Any) -> tuple[str, str]:
    """(kind, words) of a neighbour's error: Neutron's are JSON, Glance's are text."""
    try:
        told = answer.json()["NeutronError"]
        return str(told["type"]), str(told["message"])
    except (ValueError, KeyError, TypeError):
        return "", "The request was refused by the service that it is for."


def neighbours(call: ComputeCall) -> Neighbours:
    found: Neighbours = call.request.app.state.neighbours
    return found


def volume(call: ComputeCall, volume_id: str) -> Body | None:
    """As the volume service tells the caller; None when he has no such volume."""
    found = neighbours(call).get(call, VOLUME, f"/volumes/{volume_id}")
    return found["volume"] if found else None
