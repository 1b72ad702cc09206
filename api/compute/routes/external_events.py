"""What Neutron and Cinder tell of servers (Compute API reference, "Create external events")."""

import uuid
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from pydantic import Field, StringConstraints
from sqlalchemy import RowMapping, select

from api.common.errors import ServiceError
from api.compute.call import Body, Call, ComputeCall
from api.compute.errors import bad_request
from api.compute.records.instances import COLUMNS, table
from api.compute.routes.server_actions import action_request
from api.compute.validation import Strict, Uuid, check
from workflows.actions import ACTIONS

router = APIRouter()
SINCE = {"volume-extended": 51, "power-update": 76, "accelerator-request-bound": 82, "volume-reimaged": 93}
"""First microversion of events that are younger than the route."""
TAGGED = frozenset(("volume-extended", "power-update", "accelerator-request-bound"))
"""Events that say nothing without a tag."""
NOT_BUILT = frozenset(("accelerator-request-bound",))
DONE, GONE, UNTAGGED, UNPLACED, UNBUILT = 200, 404, 400, 422, 501
"""Codes of single events; the last is ours, for what no host here could do."""


class Event(Strict):
    name: Literal[
        "network-changed",
        "network-vif-plugged",
        "network-vif-unplugged",
        "network-vif-deleted",
        "volume-extended",
        "power-update",
        "accelerator-request-bound",
        "volume-reimaged",
    ]
    server_uuid: Uuid
    status: Literal["failed", "completed", "in-progress"] = "completed"
    tag: Annotated[str, StringConstraints(max_length=255)] = ""


class Events(Strict):
    events: Annotated[list[Event], Field(min_length=1)]


@router.post("/os-server-external-events")
async def create_events(call: Call, body: Body) -> Response:
    """Take what another service tells of servers: 200, or 207 when some of it could not be done."""
    call.enforce("os_compute_api:os-server-external-events:create")
    told = check(Events, body, "").events
    for number, event in enumerate(told):
        if call.version < SINCE.get(event.name, 0):
            words = f"'{event.name}' is not one of the events of this microversion"
            raise bad_request(f"Invalid input for field/attribute events/{number}/name. {words}")
    rows = await run_in_threadpool(_rows, call, {event.server_uuid for event in told})
    answered = []
    for given, event in zip(body["events"], told, strict=True):
        code = await _take(call, rows.get(event.server_uuid), event)
        answered.append({**given, "status": "completed" if code == DONE else "failed", "code": code})
    status = 200 if all(each["code"] == DONE for each in answered) else 207
    return JSONResponse({"events": answered}, status_code=status)


def _rows(call: ComputeCall, ids: set[str]) -> dict[str, RowMapping]:
    query = select(*COLUMNS).where(table.c.id.in_(ids), table.c.deleted_at.is_(None))
    with call.db.read() as session:
        return {row["id"]: row for row in session.execute(query).mappings()}


async def _take(call: ComputeCall, row: RowMapping | None, event: Event) -> int:
    """The event's code. A port that is plugged or unplugged is no news here, hosts report power by themselves, and
    a rebuild looks at the volume that it waits for. Whoever may make ports may have them name a server: one that its
    record does not have changes nothing of it."""
    if row is None:
        return GONE
    if event.name in TAGGED and not event.tag:
        return UNTAGGED
    if not row["host"]:
        return UNPLACED
    if event.name in NOT_BUILT:
        return UNBUILT
    try:
        if event.name == "network-changed" and (not event.tag or _has(row, event.tag)):
            await _start(call, row, "refresh_network", {})
        elif event.name == "volume-extended" and _has_volume(row, event.tag):
            await _start(call, row, "extend_volume", {"volume_id": event.tag})
        elif event.name == "network-vif-deleted" and _has(row, event.tag):
            await _start(call, row, "detach_interface", {"port_id": event.tag})
    except ServiceError as refused:
        return refused.status
    return DONE


def _has(row: RowMapping, port_id: str) -> bool:
    return any(port["port_id"] == port_id for port in row["networks"] or ())


def _has_volume(row: RowMapping, volume_id: str) -> bool:
    return any(volume["volume_id"] == volume_id for volume in row["volumes"] or ())


async def _start(call: ComputeCall, row: RowMapping, name: str, body: dict[str, Any]) -> None:
    """As a request of its own: several events of one request may concern one server."""
    wanted = action_request(call, row, ACTIONS[name], body)
    asks = {"project_id": row["project_id"], "request_id": f"req-{uuid.uuid4()}"}
    requester = wanted.requester.model_copy(update=asks)
    await call.operations.start(ACTIONS[name], wanted.model_copy(update={"requester": requester}))
