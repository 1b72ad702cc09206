"""Allocation candidates: hosts that have room for what is asked of one provider."""

import re
from typing import Any

from fastapi import APIRouter, Response

from api.common import parsers
from api.common.errors import ServiceError
from api.placement import filters
from api.placement.call import Call, PlacementCall, answer, since
from api.placement.errors import bad_request
from api.placement.providers import Provider, load

router = APIRouter()
PARAMETERS = (("resources", 10), ("limit", 16), ("required", 17), ("member_of", 21), ("group_policy", 25),
              ("in_tree", 31), ("root_required", 35), ("same_subtree", 36))  # fmt: skip
"""Name and first microversion."""
GRANULAR = re.compile(r"(resources|required|member_of|in_tree)[a-zA-Z0-9_-]{1,64}")


@router.get("/allocation_candidates", dependencies=[since(10)])
def list_allocation_candidates(call: Call) -> Response:
    """Hosts with room for `resources`, each with the request that would be its allocation; groups with a suffix answer
    501, since no provider has others below it."""
    call.enforce("allocation_candidates:list")
    names = set(call.request.query_params)
    if call.since(25) and (granular := [n for n in sorted(names) if GRANULAR.fullmatch(n) or n == "same_subtree"]):
        raise ServiceError(501, f"Request groups are not implemented here, so '{granular[0]}' is not.")
    call.check_query(name for name, first in PARAMETERS if call.since(first))
    if not call.one("resources"):
        raise bad_request("Invalid query string parameters: 'resources' is a required property")
    if call.one("group_policy") not in (None, "none", "isolate"):
        raise bad_request("Invalid query string parameters: 'group_policy' is not one of ['none', 'isolate']")
    wanted = filters.wanted(call)
    with call.db.read() as session:
        fitting = [each for each in load(session, call.settings) if wanted.fits(each)][: _limit(call)]
    requests = [_request(call, each, wanted.resources) for each in fitting]
    summaries = {each.id: _summary(call, each, wanted.resources) for each in fitting}
    return answer(call, {"allocation_requests": requests, "provider_summaries": summaries})


def _limit(call: PlacementCall) -> int | None:
    text = call.one("limit")
    if text is None:
        return None
    try:
        return parsers.whole(text, least=1)
    except parsers.Malformed:
        raise bad_request(f"Invalid query string parameters: '{text[:20]}' is no positive integer") from None


def _request(call: PlacementCall, provider: Provider, resources: dict[str, int]) -> dict[str, Any]:
    if not call.since(12):
        return {"allocations": [{"resource_provider": {"uuid": provider.id}, "resources": resources}]}
    found: dict[str, Any] = {"allocations": {provider.id: {"resources": resources}}}
    return found | ({"mappings": {"": [provider.id]}} if call.since(34) else {})


def _summary(call: PlacementCall, provider: Provider, resources: dict[str, int]) -> dict[str, Any]:
    used = provider.used
    found: dict[str, Any] = {
        "resources": {
            name: {"capacity": inventory.capacity, "used": used[name]}
            for name, inventory in provider.inventories.items()
            if call.since(27) or name in resources
        }
    }
    if call.since(17):
        found["traits"] = provider.traits
    if call.since(29):
        found |= {"parent_provider_uuid": None, "root_provider_uuid": provider.id}
    return found
