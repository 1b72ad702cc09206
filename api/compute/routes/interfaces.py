"""Ports attached to and detached from servers (Compute API reference, "Port interfaces")."""

from typing import Annotated, Any

from fastapi import APIRouter, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from pydantic import Field

from api.compute.acting.interfaces import prepare
from api.compute.call import Body, Call, ComputeCall
from api.compute.errors import not_found
from api.compute.neighbours import neighbours
from api.compute.records import instances
from api.compute.routes.server_actions import action_request, require_place
from api.compute.validation import Address, Strict, Tag, Uuid, check_query, parse
from api.compute.views import shapes
from api.compute.views.spans import at
from infra.openstack import NETWORK
from workflows.actions import ACTIONS
from workflows.body import Since

router = APIRouter()


class FixedAddress(Strict):
    ip_address: Address


class NewInterface(Strict):
    """Nova's schema takes no null here: what is not said is left out."""

    net_id: Uuid = ""
    port_id: Uuid = ""
    fixed_ips: Annotated[list[FixedAddress], Field(min_length=1, max_length=1)] = []
    tag: Annotated[Tag, Since(49)] = ""


@router.get("/servers/{server_id}/os-interface")
def list_interfaces(call: Call, server_id: str) -> Response:
    """The server's ports as the network service knows them."""
    check_query(call, since=102)
    row = instances.read(call, server_id, "os-attach-interfaces:list")
    return JSONResponse({"interfaceAttachments": [_interface(call, row, port) for port in ports_of(call, row["id"])]})


@router.get("/servers/{server_id}/os-interface/{port_id}")
def show_interface(call: Call, server_id: str, port_id: str) -> Response:
    """One port of the server."""
    check_query(call, since=102)
    row = instances.read(call, server_id, "os-attach-interfaces:show")
    return _shown(call, row, port_id)


@router.post("/servers/{server_id}/os-interface")
async def attach_interface(call: Call, server_id: str, body: Body) -> Response:
    """Attach a port, or one that is made on a network: answered once the guest has the interface."""
    action = ACTIONS["attach_interface"]
    row = await run_in_threadpool(instances.read, call, server_id, action.rule)
    wish = parse(call, NewInterface, {"interfaceAttachment": {}, **body}, "interfaceAttachment")
    instances.require_unlocked(call, row)
    require_place(row, action)
    address = wish.fixed_ips[0].ip_address if wish.fixed_ips else ""
    asked = {"network_id": wish.net_id, "port_id": wish.port_id, "fixed_ip": address, "tag": wish.tag}
    prepared = await run_in_threadpool(prepare, call, row, asked)
    accepted = await call.operations.start(action, action_request(call, row, action, prepared))
    row = await run_in_threadpool(instances.read, call, server_id)
    return await run_in_threadpool(_shown, call, row, accepted.answer["port_id"])


@router.delete("/servers/{server_id}/os-interface/{port_id}", status_code=202)
async def detach_interface(call: Call, server_id: str, port_id: str) -> Response:
    """Detach a port: accepted; the guest is asked to give its interface back."""
    action = ACTIONS["detach_interface"]
    row = await run_in_threadpool(instances.read, call, server_id, action.rule)
    instances.require_unlocked(call, row)
    if not any(port["port_id"] == port_id for port in row["networks"] or ()):
        raise not_found(f"Port id {port_id[:64]} could not be found.")
    await call.operations.start(action, action_request(call, row, action, {"port_id": port_id}))
    return Response(status_code=202)


def ports_of(call: ComputeCall, server_id: str) -> list[dict[str, Any]]:
    body = neighbours(call).get(call, NETWORK, f"/v2.0/ports?device_id={server_id}")
    return list((body or {}).get("ports", []))


def _shown(call: ComputeCall, row: Any, port_id: str) -> Response:
    for port in ports_of(call, row["id"]):
        if port["id"] == port_id:
            return JSONResponse({"interfaceAttachment": _interface(call, row, port)})
    raise not_found(f"Port id {port_id[:64]} could not be found.")


def _interface(call: ComputeCall, row: Any, port: dict[str, Any]) -> dict[str, Any]:
    tags = {known["port_id"]: known.get("tag") for known in row["networks"] or ()}
    shown = {
        "net_id": port["network_id"],
        "port_id": port["id"],
        "mac_addr": port["mac_address"],
        "port_state": port.get("status"),
        "fixed_ips": port.get("fixed_ips") or [],
        "tag": tags.get(port["id"]),
    }
    return at(call.version, shapes.Interface, shown)
