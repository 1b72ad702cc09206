"""Server groups (Compute API reference, "Server groups"); the scheduler obeys their policies."""

import uuid
from typing import Any

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse

from api.compute.call import Body, Call, ComputeCall
from api.compute.errors import bad_request
from api.compute.paging import MAX_LIMIT
from api.compute.records import server_groups
from api.compute.schemas.grouping import SOFT_SINCE, ServerGroupCreate
from api.compute.validation import check_query, parse, whole
from api.compute.views import shapes
from api.compute.views.spans import at
from infra.stores.server_groups import groups, members
from infra.tables.grouping import ServerGroup

router = APIRouter()
RULE = "os_compute_api:os-server-groups:"


@router.get("/os-server-groups")
def list_server_groups(call: Call) -> Response:
    """The project's server groups; an admin's `all_projects` lists everybody's."""
    check_query(call, "all_projects", "limit", "offset")
    call.enforce(RULE + "index")
    everywhere = "all_projects" in call.query and call.context.is_admin
    if everywhere:
        call.enforce(RULE + "index:all_projects")
    offset, limit = (whole(call.query.get(name, "0"), name) for name in ("offset", "limit"))
    with call.db.read() as session:
        mine = None if everywhere else groups.c.project_id == call.context.project_id
        found = server_groups.listed(session, mine)[offset:][: min(limit or MAX_LIMIT, MAX_LIMIT)]
        inside = members(session, [group.id for group in found])
    return JSONResponse({"server_groups": [_view(call, group, inside) for group in found]})


@router.get("/os-server-groups/{group_id}")
def show_server_group(call: Call, group_id: str) -> Response:
    """One server group with its servers."""
    check_query(call, since=102)
    with call.db.read() as session:
        group = server_groups.seen(session, call, group_id)
        call.enforce(RULE + "show", project_id=group.project_id)
        return JSONResponse({"server_group": _view(call, group, members(session, [group.id]))})


@router.post("/os-server-groups")
def create_server_group(call: Call, body: Body) -> Response:
    """Make a server group: `policies` until 2.63, `policy` and `rules` from 2.64."""
    call.enforce(RULE + "create")
    wish = parse(call, ServerGroupCreate, body, "server_group")
    policy = _policy(call, wish)
    group = ServerGroup(
        id=str(uuid.uuid4()),
        project_id=call.context.project_id,
        user_id=call.context.user_id,
        name=wish.name,
        policy=policy,
        rules=wish.rules.model_dump(exclude_unset=True) if wish.rules else {},
    )
    if group.rules and policy != "anti-affinity":
        raise bad_request("Only anti-affinity policy supports rules.")
    with call.db.write() as session:
        server_groups.create(session, group)
    return JSONResponse({"server_group": _view(call, group, {})})


@router.delete("/os-server-groups/{group_id}", status_code=204)
def delete_server_group(call: Call, group_id: str) -> Response:
    """Remove a server group; its servers stay where they are."""
    with call.db.write() as session:
        group = server_groups.seen(session, call, group_id)
        call.enforce(RULE + "delete", project_id=group.project_id)
        server_groups.remove(session, group)
    return Response(status_code=204)


def _policy(call: ComputeCall, wish: ServerGroupCreate) -> str:
    name = "policy" if call.since(64) else "policies"
    policy = wish.policy if call.since(64) else next(iter(wish.policies or ()), None)
    if policy is None:
        raise bad_request(f"Invalid input for field/attribute server_group. '{name}' is a required property")
    if policy.startswith("soft-") and not call.since(SOFT_SINCE):
        raise bad_request(
            f"Invalid input for field/attribute policies/0. '{policy}' is not one of ['anti-affinity', 'affinity']"
        )
    return policy


def _view(call: ComputeCall, group: ServerGroup, inside: dict[str, list[str]]) -> dict[str, Any]:
    shown = {
        "id": group.id,
        "name": group.name,
        "members": inside.get(group.id, []),
        "project_id": group.project_id,
        "user_id": group.user_id,
        "policies": [group.policy],
        "metadata": {},
        "policy": group.policy,
        "rules": group.rules,
    }
    return at(call.version, shapes.ServerGroup, shown)
