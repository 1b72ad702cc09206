"""Volumes attached to and detached from servers (Compute API reference, "Servers with volume attachments")."""

import asyncio
from typing import Annotated, Any, ClassVar

from fastapi import APIRouter, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from pydantic import Field, StringConstraints
from sqlalchemy import RowMapping

from api.common.parsers import is_uuid
from api.compute.acting import swapping
from api.compute.acting.able import require_host
from api.compute.boot.disks import require_attachable
from api.compute.call import Body, Call, ComputeCall
from api.compute.errors import bad_request, not_found
from api.compute.neighbours import volume
from api.compute.operations import Busy
from api.compute.records import instances
from api.compute.routes.server_actions import action_request, require_place
from api.compute.validation import Boolean, Strict, Tag, Uuid, parse
from infra.contracts.abilities import SCSI_VOLUMES
from infra.contracts.volume import attached_id, bus_of_volume
from workflows.actions import ACTIONS
from workflows.body import Since

router = APIRouter()


DeviceName = Annotated[str, StringConstraints(max_length=255, pattern=r"^/dev/x?[a-z]?d?[a-z]+[0-9]*$")]
"""As Nova's schema has it; a name of another kind than the volume's own stands for any."""


class NewAttachment(Strict):
    NULLABLE: ClassVar = {"device"}

    volume_id: Annotated[Uuid, Field(alias="volumeId")]
    device: DeviceName | None = None
    tag: Annotated[Tag | None, Since(49)] = None
    delete_on_termination: Annotated[Boolean, Since(79)] = False


@router.post("/servers/{server_id}/os-volume_attachments")
async def attach_volume(call: Call, server_id: str, body: Body) -> Response:
    """Attach a volume that is free: answered once its device is chosen (202 from 2.101); it is in the guest a moment
    later. Of two servers' requests at the same moment one has it, and the other's event list tells why it has not."""
    action = ACTIONS["attach_volume"]
    looking = asyncio.ensure_future(_look(call, body))  # beside the look at the server, whose refusals come first
    looking.add_done_callback(lambda done: done.cancelled() or done.exception())
    await asyncio.sleep(0)  # its thread begins first: it takes longer
    row, wish = await run_in_threadpool(_wanted, call, server_id, action.rule, body)
    size = _require_usable(call, row, wish.volume_id, await looking)
    attachment_id = attached_id(row["id"], call.requester.request_id, wish.volume_id)
    wanted = {**wish.model_dump(exclude_unset=True), "attachment_id": attachment_id, "size_gb": size}
    accepted = await call.operations.start(action, action_request(call, row, action, wanted))
    if call.since(101):
        return Response(status_code=202)
    shown: dict[str, Any] = {"id": wish.volume_id, "volumeId": wish.volume_id, "serverId": row["id"]}
    shown |= {"device": _path(accepted.answer["device"])}
    if call.since(70):
        shown["tag"] = wish.tag
    if call.since(79):
        shown["delete_on_termination"] = wish.delete_on_termination
    return JSONResponse({"volumeAttachment": shown})


@router.delete("/servers/{server_id}/os-volume_attachments/{volume_id}", status_code=202)
async def detach_volume(call: Call, server_id: str, volume_id: str) -> Response:
    """Detach a volume: accepted; the guest is asked to give it back. Asked again meanwhile, it is 400 as in Nova, by
    which Terraform knows that it has to wait."""
    action = ACTIONS["detach_volume"]
    row = await run_in_threadpool(instances.read, call, server_id, action.rule)
    held = next((v for v in row["volumes"] or () if v["volume_id"] == volume_id), None)
    if held is None:
        raise not_found(f"Instance {row['id']} is not attached to volume {volume_id[:64]}")
    if held.get("boot_index") == 0:
        raise bad_request("Cannot detach a root device volume")
    instances.require_unlocked(call, row)
    wanted = {"volume_id": volume_id}
    try:
        await call.operations.start(action, action_request(call, row, action, wanted))
    except Busy as busy:
        if busy.task_state != action.transition.doing:
            raise
        raise bad_request(f"Invalid volume: Unable to detach volume {volume_id} while {busy}") from busy
    return Response(status_code=202)


async def _look(call: ComputeCall, body: Body) -> dict[str, Any] | None:
    """The volume that a body names, which is not checked yet, as its service tells the caller."""
    wish = body.get("volumeAttachment")
    named = wish.get("volumeId") if isinstance(wish, dict) else None
    return await run_in_threadpool(volume, call, str(named)) if is_uuid(named) else None


def _wanted(call: ComputeCall, server_id: str, rule: str, body: Body) -> tuple[RowMapping, NewAttachment]:
    """(the server, what is asked for); everything that may refuse it but the volume, in one thread."""
    row = instances.read(call, server_id, rule)
    wish = parse(call, NewAttachment, body, "volumeAttachment")
    instances.require_unlocked(call, row)
    require_place(row, ACTIONS["attach_volume"])
    if bus_of_volume(row["image_properties"] or {}) == "scsi":
        require_host(call, row, {SCSI_VOLUMES})
    return row, wish


def _require_usable(call: ComputeCall, row: RowMapping, volume_id: str, found: dict[str, Any] | None) -> int:
    """The volume's size in GiB; 404 for one that the caller has not, 400 for one that cannot be attached now."""
    if found is None:
        raise not_found(f"Volume {volume_id} could not be found.")
    if any(held.get("server_id") == row["id"] for held in found.get("attachments") or ()):
        raise bad_request(f"Invalid volume: volume {volume_id} already attached")
    require_attachable(call, found)
    return int(found["size"])


def _path(device: str | None) -> str | None:
    """None: the server is on no host, and the volume has no device yet."""
    return f"/dev/{device.removeprefix('/dev/')}" if device else None


class ChangedAttachment(Strict):
    """Before 2.85 a PUT is nothing but a swap."""

    NULLABLE: ClassVar = {"device"}

    volume_id: Annotated[Uuid, Field(alias="volumeId")]
    id: Annotated[Uuid, Since(85)] = ""
    server_id: Annotated[Uuid, Since(85), Field(alias="serverId")] = ""
    device: Annotated[DeviceName | None, Since(85)] = None
    tag: Annotated[Tag | None, Since(85)] = None
    delete_on_termination: Annotated[Boolean, Since(85)] = False


@router.put("/servers/{server_id}/os-volume_attachments/{volume_id}", status_code=202)
async def update_attachment(call: Call, server_id: str, volume_id: str, body: Body) -> Response:
    """Change whether a volume goes with its server (2.85), or have another volume take its place: for services and
    admins, who may say both at once."""
    action, swap = ACTIONS["update_attachment"], ACTIONS["swap_volume"]
    row = await run_in_threadpool(instances.read, call, server_id)
    wish = parse(call, ChangedAttachment, body, "volumeAttachment")
    swaps = not call.since(action.since) or wish.volume_id != volume_id
    if swaps:
        call.enforce(f"os_compute_api:{swap.rule}")
    else:
        call.enforce(f"os_compute_api:{action.rule}", project_id=row["project_id"], user_id=row["user_id"])
    instances.require_unlocked(call, row)
    held = next((v for v in row["volumes"] or () if v["volume_id"] == volume_id), None)
    if held is None:
        raise not_found(f"No volume Block Device Mapping with id {volume_id[:64]}.")
    _require_same(row, held, wish)
    if swaps:
        wanted = await run_in_threadpool(swapping.prepare, call, row, volume_id, wish.volume_id)
        wanted |= wish.model_dump(include={"delete_on_termination"}, exclude_unset=True)
        await call.operations.start(swap, action_request(call, row, swap, wanted))
    elif "delete_on_termination" in wish.model_fields_set:
        wanted = {"volume_id": volume_id, "delete_on_termination": wish.delete_on_termination}
        await call.operations.start(action, action_request(call, row, action, wanted))
    return Response(status_code=202)


def _require_same(row: RowMapping, held: dict[str, Any], wish: ChangedAttachment) -> None:
    """400 for a change of anything that only a new attachment could have."""
    known = {
        "id": held["volume_id"],
        "serverId": row["id"],
        "device": _path(held.get("device")),
        "tag": held.get("tag"),
    }
    asked = wish.model_dump(by_alias=True, exclude_unset=True)
    for name, value in known.items():
        if asked.get(name, value) != value:
            raise bad_request(f"The {name} property is not mutable")
