"""POST /servers (Compute API reference, "Create server"): checked, resolved, handed to a workflow, answered 202."""

from typing import Any

from fastapi import APIRouter, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from api.compute.boot.batch import boot_all
from api.compute.boot.plan import plan
from api.compute.call import Body, Call
from api.compute.schemas.servers import ServerCreate
from api.compute.validation import parse

router = APIRouter()


@router.post("/servers", status_code=202)
async def create_server(call: Call, body: Body) -> Response:
    """Start servers: 202 once token, quota and record are durable."""
    call.enforce("os_compute_api:servers:create")
    wish = parse(call, ServerCreate, body, "server")
    requests = await run_in_threadpool(plan, call, wish, body)
    accepted = await boot_all(call.operations, requests, wish.min_count)
    if wish.return_reservation_id:
        return JSONResponse({"reservation_id": requests[0].reservation_id}, status_code=202)
    first = accepted[0]
    links = call.links(f"/servers/{first.instance_id}")
    groups = [{"name": group.name} for group in wish.security_groups or () if group.name]
    server: dict[str, Any] = {
        "id": first.instance_id,
        "links": links,
        "OS-DCF:diskConfig": requests[0].disk_config,
        "security_groups": groups or [{"name": "default"}],
        "adminPass": first.admin_pass,
    }
    return JSONResponse({"server": server}, status_code=202, headers={"Location": links[0]["href"]})
