"""One request to the compute API: who asks, at which microversion, and the way to store, policy and workflows."""

from dataclasses import dataclass
from typing import Annotated, Any, cast
from urllib.parse import quote

from fastapi import Depends, Request

from api.common.call import ServiceCall
from api.common.context import Caller
from api.common.errors import ServiceError
from api.compute.contract import Operations
from api.compute.errors import bad_request, forbidden, not_found
from workflows.requests import Requester


@dataclass(frozen=True, slots=True)
class ComputeCall(ServiceCall):
    @property
    def operations(self) -> Operations:
        return cast(Operations, self.request.app.state.operations)

    @property
    def query(self) -> dict[str, str]:
        return dict(self.request.query_params)

    @property
    def requester(self) -> Requester:
        asks = self.context
        return Requester(token=asks.token, user_id=asks.user_id, project_id=asks.project_id, request_id=asks.request_id)

    @property
    def legacy(self) -> bool:
        """Below /v2: version 2.0 of the API."""
        return bool(getattr(self.request.state, "legacy", False))

    def enforce(self, rule: str, **target: str) -> None:
        self.policy.enforce(self.context, rule, self._target(target))

    def allows(self, rule: str, **target: str) -> bool:
        return self.policy.allows(self.context, rule, self._target(target))

    def _target(self, target: dict[str, str]) -> dict[str, str]:
        return {"project_id": self.context.project_id, "user_id": self.context.user_id, **target}

    def url(self, path: str = "") -> str:
        """Absolute address of `path` (which begins with a slash, not quoted yet) below the API's version."""
        return self.bookmark("/v2.1" + path)

    def bookmark(self, path: str) -> str:
        """As clients reach this service: the edge puts that, never what a client claims, into the request."""
        return str(self.request.base_url).rstrip("/") + quote(path)

    def links(self, path: str) -> list[dict[str, str]]:
        return [{"rel": "self", "href": self.url(path)}, {"rel": "bookmark", "href": self.bookmark(path)}]


async def compute_call(request: Request, context: Caller) -> ComputeCall:
    """403 for a token without a project; 400 when the path names another project than the token."""
    if not context.project_id:
        raise forbidden("The request needs a token that is scoped to a project.")
    named = getattr(request.state, "url_project", None)
    if named and named.replace("-", "") != context.project_id.replace("-", ""):
        raise bad_request(f"Malformed request URL: URL's project_id '{named}' doesn't match Context's project_id")
    return ComputeCall(request, context, request.state.microversion)


Call = Annotated[ComputeCall, Depends(compute_call)]
"""Route parameter type: the authenticated call."""


class Versions:
    """Route dependency: the route exists from microversion 2.`first` to 2.`last`, elsewhere 404."""

    def __init__(self, first: int = 1, last: int | None = None) -> None:
        self.first, self.last = first, last

    async def __call__(self, call: Call) -> None:
        if call.version < self.first or (self.last is not None and call.version > self.last):
            raise not_found()


def versions(first: int = 1, last: int | None = None) -> Any:
    return Depends(Versions(first, last))


async def read_body(request: Request, _call: Call) -> dict[str, Any]:
    """The JSON object in the body, which the edge has read and checked; 415 for another media type."""
    kind = request.headers.get("content-type", "application/json").split(";")[0].strip().lower()
    if kind not in ("application/json", "", "text/plain") and not kind.endswith("+json"):
        raise ServiceError(415, "Unsupported Content-Type")
    body = getattr(request.state, "json", None)
    if not isinstance(body, dict):
        raise bad_request("Malformed request body")
    return body


Body = Annotated[dict[str, Any], Depends(read_body)]
"""Route parameter type: the body's JSON object."""
