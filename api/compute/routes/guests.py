"""What the guest itself tells: its use of the host, the password that it chose (Compute API reference, "Servers
diagnostics", "Server password")."""

from fastapi import APIRouter, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from api.compute.call import Call
from api.compute.errors import not_ready
from api.compute.records import instances, passwords
from api.compute.validation import check_query
from api.compute.views.diagnostics import old_view, view

router = APIRouter()


@router.get("/servers/{server_id}/diagnostics")
async def show_diagnostics(call: Call, server_id: str) -> Response:
    """The guest's use of its host, from libvirt's statistics; 409 while it does not run."""
    check_query(call, since=102)
    row = await run_in_threadpool(instances.read, call, server_id, "os-server-diagnostics")
    if not row["host"]:
        raise not_ready(row["id"])
    known = await call.operations.diagnostics(row["id"])
    return JSONResponse(view(known, row) if call.since(48) else old_view(known))


@router.get("/servers/{server_id}/os-server-password")
def show_server_password(call: Call, server_id: str) -> Response:
    """The password that the guest chose, as it encrypted it; empty when it told none."""
    check_query(call, since=102)
    row = instances.read(call, server_id, "os-server-password:show")
    with call.db.read() as session:
        told = passwords.told(session, call.request.app.state.ring, row["id"])
    return JSONResponse({"password": told})


@router.delete("/servers/{server_id}/os-server-password", status_code=204)
def clear_server_password(call: Call, server_id: str) -> Response:
    """Forget the password that the guest told; its own stays as it is."""
    row = instances.read(call, server_id, "os-server-password:clear")
    with call.db.write() as session:
        passwords.clear(session, row["id"])
    return Response(status_code=204)
