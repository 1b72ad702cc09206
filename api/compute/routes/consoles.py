"""Consoles behind one-time tokens (Compute API reference, "Server consoles")."""

from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from sqlalchemy import RowMapping

from api.compute.call import Body, Call, ComputeCall, versions
from api.compute.errors import bad_request, not_found, not_ready, wrong_state
from api.compute.records import consoles, instances
from api.compute.schemas.actions import RemoteConsole
from api.compute.validation import check_query, parse
from infra.contracts.power_states import PAUSED, RUNNING
from infra.contracts.states import DELETING
from infra.tables.compute import Instance

router = APIRouter()
UNIX = "unix_socket:"
KINDS = {
    "vnc": ("novnc", "xvpvnc"),
    "spice": ("spice-html5", "spice-direct"),
    "serial": ("serial",),
    "mks": ("webmks",),
}


@router.post("/servers/{server_id}/remote-consoles", dependencies=[versions(6)])
async def create_console(call: Call, server_id: str, body: Body) -> Response:
    """Address of a console: noVNC for a browser, or the serial port as a WebSocket."""
    wish = parse(call, RemoteConsole, body, "remote_console")
    if wish.type == "spice-direct" and not call.since(99):
        raise bad_request("Invalid input for field/attribute type. 'spice-direct' is not one of the known types")
    row = await run_in_threadpool(instances.read, call, server_id, "os-remote-consoles")
    if wish.protocol in KINDS and wish.type not in KINDS[wish.protocol]:
        raise bad_request(f"Invalid console type {wish.type}")
    url = await console_url(call, row, wish.type)
    return JSONResponse({"remote_console": {"protocol": wish.protocol, "type": wish.type, "url": url}})


@router.get("/os-console-auth-tokens/{token}")
def show_token(call: Call, token: str) -> Response:
    """Where a console's token leads, which it goes on doing. A guest's screen or serial port that is no TCP port has
    none: `port` is null then, and `internal_access_path` the socket on its host. 400 before 2.31, as in Nova, whose
    consoles of then are gone."""
    call.enforce("os_compute_api:os-console-auth-tokens")
    if call.since(99):
        check_query(call)
    if not call.since(31):
        raise bad_request("The server could not comply with the request since it is malformed or incorrect.")
    found = consoles.find(call.db, token)
    if found is None:
        raise not_found("Token not found")
    target, instance_id = found
    place: dict[str, Any]
    if target.startswith(UNIX):
        with call.db.read() as session:
            row = session.get(Instance, instance_id)
            at = row.host if row else None
        place = {"host": at, "port": None, "internal_access_path": target.removeprefix(UNIX)}
    else:
        host, _, port = target.rpartition(":")
        place = {"host": host, "port": int(port), "internal_access_path": None}
    return JSONResponse({"console": {"instance_uuid": instance_id, **place}})


async def console_url(call: ComputeCall, row: RowMapping, kind: str) -> str:
    """400 for a kind that is not served, 409 while the guest neither runs nor is paused, and while it is deleted."""
    if kind not in ("novnc", "serial"):
        raise bad_request(f"Unavailable console type {kind}.")
    if row["task_state"] == DELETING:
        doing = "get_serial_console" if kind == "serial" else "get_vnc_console"
        raise wrong_state(doing, row["id"], "task_state", DELETING)
    if not row["host"] or row["power_state"] not in (RUNNING, PAUSED) or row["vm_state"] == "building":
        raise not_ready(row["id"])
    target = await call.operations.console_target(row["id"], "serial" if kind == "serial" else "vnc")
    token = await run_in_threadpool(consoles.grant, call.db, row["id"], target, kind)
    if kind == "serial":
        return call.settings.url("console", f"/?token={token}").replace("http", "ws", 1)
    return call.settings.url("console", "/vnc_auto.html?path=" + quote(f"?token={token}", safe=""))
