"""What was done to a server, step by step (Compute API reference, "Servers actions list")."""

from typing import Any

from fastapi import APIRouter, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from api.compute.call import Call, ComputeCall
from api.compute.errors import not_found
from api.compute.records import actions, instances
from api.compute.records.actions import Window
from api.compute.validation import check_query
from api.compute.views.actions import EventView, action_view
from infra.tables.compute import InstanceAction

router = APIRouter()


@router.get("/servers/{server_id}/os-instance-actions")
def list_actions(call: Call, server_id: str) -> Response:
    """Actions on a server, newest first; from 2.21 of a deleted one too, from 2.58 paged."""
    window = Window()
    if call.since(58):
        check_query(call, "limit", "marker", "changes-since", *(["changes-before"] if call.since(66) else []), since=58)
        window = Window.of(call)
    row = instances.read(call, server_id, "os-instance-actions:list", deleted=call.since(21))
    with call.db.read() as session:
        found = actions.listed(session, row["id"], window)
    body: dict[str, Any] = {"instanceActions": [action_view(call, action) for action in found]}
    path = f"/servers/{server_id}/os-instance-actions"
    if call.since(58) and (links := window.page.links(call, path, [action.request_id for action in found])):
        body["links"] = links
    return JSONResponse(body)


@router.get("/servers/{server_id}/os-instance-actions/{request_id}")
async def show_action(call: Call, server_id: str, request_id: str) -> Response:
    """One action with its steps; those of a running one come from its workflow."""
    check_query(call, since=102)
    project_id, action, rows = await run_in_threadpool(_stored, call, server_id, request_id)
    view = EventView(call, project_id)
    body = action_view(call, action)
    if view.any:
        if action.finish_time is None:
            live = await call.operations.progress(server_id)
            rows = [*reversed(live)] or rows
        body["events"] = [view.render(row) for row in rows]
    return JSONResponse({"instanceAction": body})


def _stored(call: ComputeCall, server_id: str, request_id: str) -> tuple[str, InstanceAction, list[dict[str, Any]]]:
    row = instances.read(call, server_id, "os-instance-actions:show", deleted=call.since(21))
    with call.db.read() as session:
        action, events = actions.one(session, row["id"], request_id)
    if action is None:
        raise not_found(f"Action {request_id[:64]} not found")
    return row["project_id"], action, events
