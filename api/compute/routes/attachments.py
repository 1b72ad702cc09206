"""What is attached to a server: volumes and security groups (Compute API reference, each by its own chapter)."""

import uuid
from typing import Any

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse

from api.compute.call import Call, ComputeCall
from api.compute.errors import not_found
from api.compute.neighbours import neighbours
from api.compute.paging import Page
from api.compute.records import instances
from api.compute.routes.interfaces import ports_of
from api.compute.validation import check_query, whole
from api.compute.views import shapes
from api.compute.views.security_groups import groups_view
from api.compute.views.spans import at
from infra.openstack import NETWORK

router = APIRouter()


@router.get("/servers/{server_id}/os-volume_attachments")
def list_volume_attachments(call: Call, server_id: str) -> Response:
    """The server's volumes."""
    check_query(call, "limit", "offset")
    row = instances.read(call, server_id, "os-volumes-attachments:index")
    offset = whole(call.query.get("offset", "0"), "offset")
    volumes = (row["volumes"] or [])[offset:][: Page.of(call).limit]
    return JSONResponse({"volumeAttachments": [attachment(call, server_id, volume) for volume in volumes]})


@router.get("/servers/{server_id}/os-volume_attachments/{volume_id}")
def show_volume_attachment(call: Call, server_id: str, volume_id: str) -> Response:
    """One volume of the server."""
    row = instances.read(call, server_id, "os-volumes-attachments:show")
    for volume in row["volumes"] or ():
        if volume["volume_id"] == volume_id:
            return JSONResponse({"volumeAttachment": attachment(call, server_id, volume)})
    raise not_found(f"Instance {server_id} is not attached to volume {volume_id[:64]}")


def attachment(call: ComputeCall, server_id: str, volume: dict[str, Any]) -> dict[str, Any]:
    shown: dict[str, Any] = {"volumeId": volume["volume_id"], "serverId": server_id}
    if device := volume.get("device"):
        shown["device"] = device if device.startswith("/") else f"/dev/{device}"
    shown |= {
        "id": volume["volume_id"],
        "tag": volume.get("tag"),
        "delete_on_termination": bool(volume.get("delete_on_termination")),
        "attachment_id": volume.get("attachment_id"),
        "bdm_uuid": str(uuid.uuid5(uuid.UUID(server_id), f"bdm/{volume['volume_id']}")),
    }
    return at(call.version, shapes.VolumeAttachment, shown)


@router.get("/servers/{server_id}/os-security-groups")
def list_security_groups(call: Call, server_id: str) -> Response:
    """The security groups of the server's ports, in the shape that the old network service gave them."""
    check_query(call, since=102)
    row = instances.read(call, server_id, "os-security-groups:list")
    ids = {group for port in ports_of(call, row["id"]) for group in port.get("security_groups") or ()}
    if not ids:
        return JSONResponse({"security_groups": []})
    wanted = "&".join(f"id={group}" for group in sorted(ids))
    body = neighbours(call).get(call, NETWORK, f"/v2.0/security-groups?{wanted}")
    found = [group for group in (body or {}).get("security_groups", []) if group["id"] in ids]
    return JSONResponse({"security_groups": groups_view(call, found)})
