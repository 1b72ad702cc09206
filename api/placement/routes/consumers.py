"""Allocations of a consumer, and what a project uses."""

from typing import Any

from fastapi import APIRouter, Response

from api.placement.call import Call, PlacementCall, answer, since
from api.placement.errors import bad_request
from api.placement.providers import Claim, claims, claims_where, instances, load, total

router = APIRouter()


@router.get("/allocations/{consumer_uuid}")
def list_allocations(call: Call, consumer_uuid: str) -> Response:
    """What a server, or a migration, holds of which host; nothing for a consumer that holds nothing."""
    call.enforce("allocations:list")
    with call.db.read() as session:
        held = list(claims_where(session, claims.c.consumer_id == consumer_uuid.lower()))
        where = {provider.name: provider for provider in load(session, call.settings)} if held else {}
    shown: dict[str, Any] = {
        where[claim.host].id: {"resources": claim.resources, "generation": where[claim.host].generation}
        for claim in held
        if claim.host in where
    }
    body: dict[str, Any] = {"allocations": shown}
    for claim in held:
        body |= _about(call, claim)
    return answer(call, body)


def _about(call: PlacementCall, claim: Claim) -> dict[str, Any]:
    whose = {"project_id": claim.project_id, "user_id": claim.user_id} if call.since(12) else {}
    number = {"consumer_generation": claim.generation} if call.since(28) else {}
    return whose | number | ({"consumer_type": claim.consumer_type} if call.since(38) else {})


@router.get("/usages", dependencies=[since(9)])
def list_total_usages(call: Call) -> Response:
    """What a project, or one user of it, holds on all hosts; from 1.38 by type of consumer."""
    project = call.one("project_id")
    call.enforce("usages", project_id=project or "")
    call.check_query(["project_id", "user_id", *(["consumer_type"] if call.since(38) else [])])
    if not project:
        raise bad_request("Invalid query string parameters: 'project_id' is a required property")
    conditions = [instances.c.project_id == project]
    if user := call.one("user_id"):
        conditions.append(instances.c.user_id == user)
    with call.db.read() as session:
        held = list(claims_where(session, *conditions))
    return answer(call, {"usages": _by_type(call, held) if call.since(38) else total(held)})


def _by_type(call: PlacementCall, held: list[Claim]) -> dict[str, Any]:
    """Sums and numbers of consumers by type; `all` puts them together. No consumer here is without a type."""
    kind = call.one("consumer_type")
    groups: dict[str, list[Claim]] = {}
    for claim in held:
        if kind in (None, "all", claim.consumer_type):
            groups.setdefault("all" if kind == "all" else claim.consumer_type, []).append(claim)
    return {name: total(group) | {"consumer_count": len(group)} for name, group in groups.items()}
