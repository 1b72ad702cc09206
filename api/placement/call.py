"""One request to the Placement API: who asks, at which microversion, and the way to records and policy."""

from collections.abc import Iterable
from dataclasses import dataclass
from email.utils import formatdate
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.responses import JSONResponse

from api.common.call import ServiceCall
from api.common.context import Caller
from api.common.errors import ServiceError
from api.placement.errors import bad_request, not_found
from api.placement.policy import PREFIX

DATED = 15
"""From microversion 1.15 on an answer says when it was true, and that it is not to be kept."""


@dataclass(frozen=True, slots=True)
class PlacementCall(ServiceCall):
    def enforce(self, rule: str, **target: str) -> None:
        """403 in Placement's words."""
        if not self.policy.allows(self.context, PREFIX + rule, target):
            raise ServiceError(403, f"Policy does not allow {PREFIX}{rule} to be performed.")

    def values(self, name: str) -> list[str]:
        return self.request.query_params.getlist(name)

    def one(self, name: str) -> str | None:
        """The last value of a parameter."""
        return self.request.query_params.get(name)

    def check_query(self, known: Iterable[str]) -> None:
        """400 for a parameter that this microversion does not have."""
        for name in set(self.request.query_params) - set(known):
            raise bad_request(
                f"Invalid query string parameters: Additional properties are not allowed ('{name[:64]}' was unexpected)"
            )


def answer(call: PlacementCall, body: dict[str, Any]) -> JSONResponse:
    """`body`, true now."""
    now = {"Last-Modified": formatdate(usegmt=True), "Cache-Control": "no-cache"}
    return JSONResponse(body, headers=now if call.since(DATED) else None)


async def placement_call(request: Request, context: Caller) -> PlacementCall:
    """406 for a client that takes no JSON."""
    kinds = [part.split(";")[0].strip().lower() for part in request.headers.get("accept", "").split(",")]
    if any(kinds) and not {"application/json", "application/*", "*/*"}.intersection(kinds):
        raise ServiceError(406, "Only application/json is provided")
    return PlacementCall(request, context, request.state.version)


Call = Annotated[PlacementCall, Depends(placement_call)]
"""Route parameter type: the authenticated call."""


class Since:
    """Route dependency: the route exists from microversion 1.`first` on; before, 404, or `status`."""

    def __init__(self, first: int, status: int = 404) -> None:
        self.first, self.status = first, status

    async def __call__(self, call: Call) -> None:
        if call.version < self.first:
            if self.status == 404:
                raise not_found("")
            raise ServiceError(self.status, "The method specified is not allowed for this resource.")


def since(first: int, status: int = 404) -> Any:
    return Depends(Since(first, status))
