"""Servers: list, show, change, delete (Compute API reference, "Servers")."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from anyio import from_thread
from fastapi import APIRouter, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from sqlalchemy import RowMapping
from sqlmodel import Session

from api.compute.acting.delete import delete
from api.compute.call import Body, Call, ComputeCall
from api.compute.errors import conflict
from api.compute.paging import Page
from api.compute.records import extras, hosts, instances, port_groups, search
from api.compute.records.filters import search_of
from api.compute.schemas.servers import ServerUpdate
from api.compute.validation import check_query, parse, require_hostname
from api.compute.views.servers import ServerView, rendered, with_groups
from api.compute.views.states import WITH_PROGRESS, status
from infra.tables.compute import now

router = APIRouter()
A_MOMENT = timedelta(seconds=2)
"""So long a poll of what is done by then costs nothing more."""
MOST_ASKED = 32
"""Of so many servers that move something a list tells how much; of more, 0."""


@router.get("/servers")
def list_servers(call: Call) -> Response:
    """Ids and names of servers, filtered, sorted and paged."""
    return _listing(call, detail=False)


@router.get("/servers/detail")
def list_servers_detail(call: Call) -> Response:
    """Servers with all attributes, filtered, sorted and paged."""
    return _listing(call, detail=True)


def _listing(call: ComputeCall, *, detail: bool) -> Response:
    kind = "detail" if detail else "index"
    call.enforce(f"os_compute_api:servers:{kind}")
    page = Page.of(call)
    wanted = search_of(call, kind)
    rows: list[Any] = []
    more = None
    if wanted is not None:
        with call.db.read() as session:
            rows = search.run(session, wanted, page)
            if detail:
                more = extras.of(session, call, rows)
    if detail:
        rows = _moving(call, rows)
    view = ServerView(call, port_groups.beside(call, rows, more) if more else None)
    body: dict[str, Any] = {"servers": rendered(rows, view.detail if detail else view.basic)}
    if links := page.links(call, "/servers/detail" if detail else "/servers", [row["id"] for row in rows]):
        body["servers_links"] = links
    return JSONResponse(body)


@router.get("/servers/{server_id}")
def show_server(call: Call, server_id: str) -> Response:
    """One server by its id; a name is not found here (404)."""
    check_query(call, since=102)
    with call.db.look() as store:
        row = instances.find(store, call, server_id)
        more = extras.of(store, call, [row])
    call.enforce("os_compute_api:servers:show", project_id=row["project_id"])
    more = port_groups.beside(call, [row], more)
    return JSONResponse({"server": with_groups(call, ServerView(call, more).detail(_moving(call, [row])[0]), row)})


def _moving(call: ComputeCall, rows: Sequence[Any]) -> list[Any]:
    """With the progress of what has run for more than a moment, as its host says. Servers at rest cost nothing; the
    others are asked after at once, for a second at most."""
    until = now() - A_MOMENT
    asked = [
        row["id"]
        for row in rows
        if row["task_state"] is not None
        and row["updated_at"] < until
        and status(row["vm_state"], row["task_state"]) in WITH_PROGRESS
    ][:MOST_ASKED]
    told = from_thread.run(call.operations.percents, asked) if asked else {}
    return [{**row, "progress": told[row["id"]]} if row["id"] in told else row for row in rows]


@router.put("/servers/{server_id}")
def update_server(call: Call, server_id: str, body: Body) -> Response:
    """Change name, description, access addresses, hostname or disk configuration; from 2.104 pin and unpin the zone."""
    wish = parse(call, ServerUpdate, body, "server")
    require_hostname(call, wish.hostname)
    row = instances.read(call, server_id, "servers:update")
    values = wish.model_dump(exclude_unset=True, exclude={"pinned_availability_zone"})
    for name in ("name", "disk_config"):
        if values.get(name, "") is None:
            values.pop(name)
    for name in ("access_ip_v4", "access_ip_v6"):
        if name in values:
            values[name] = values[name] or None
    with call.db.write() as session:
        if "pinned_availability_zone" in wish.model_fields_set:
            values["pinned_zone"] = _pinned(session, row, wish.pinned_availability_zone)
        row = instances.change(session, server_id, **values)
        more = extras.of(session, call, [row])
    more = port_groups.beside(call, [row], more)
    return JSONResponse({"server": with_groups(call, ServerView(call, more).updated(row), row)})


def _pinned(session: Session, row: RowMapping, zone: str | None) -> str | None:
    """The zone that binds the server's next move; 409 for another one than its own, and for a second one."""
    if zone is None or zone == row["pinned_zone"]:
        return zone
    if row["pinned_zone"] is not None:
        raise conflict(
            "Cannot change pinned availability zone directly. Unpin first by setting pinned_availability_zone to null."
        )
    here = hosts.zones_of(hosts.of_servers(session, [row])).get(row["host"]) or row["availability_zone"]
    if zone != here:
        raise conflict(
            f"Server can only be pinned to its current availability zone '{here}', but '{zone}' was requested."
        )
    return zone


@router.delete("/servers/{server_id}", status_code=204)
async def delete_server(call: Call, server_id: str) -> Response:
    """Delete a server, whatever it is doing; with `reclaim_instance_interval` it can be restored for so long."""
    row = await run_in_threadpool(instances.read, call, server_id, "servers:delete")
    await delete(call, row, reclaim_after_s=call.settings.reclaim_instance_interval)
    return Response(status_code=204)
