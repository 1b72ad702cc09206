"""Actions on volumes: POST /volumes/{id}/action. Source: Block Storage API v3, "Volume actions (volumes, action)"."""

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from sqlmodel import Session

from api.common.context import Context
from api.common.errors import ServiceError
from api.volume import deleting, limits
from api.volume.errors import invalid_input, invalid_volume, not_built
from api.volume.records import is_source
from api.volume.service import Service, VolumeCaller, VolumeService
from infra.tables.volume import Volume, now

router = APIRouter(prefix="/volumes")
STATUSES = ("available", "error", "attaching", "in-use", "maintenance", "error_deleting")
"""Statuses that an administrator may set. Those that stand for work in progress would start that work."""
NOT_BUILT = {
    "os-attach",
    "os-detach",
    "os-force_detach",
    "os-reserve",
    "os-unreserve",
    "os-begin_detaching",
    "os-roll_detaching",
    "os-retype",
    "os-initialize_connection",
    "os-terminate_connection",
    "os-volume_upload_image",
    "os-migrate_volume",
    "os-unmanage",
    "revert",
    "os-migrate_volume_completion",
    "os-reimage",
    "os-extend_volume_completion",
}


def extend(service: VolumeService, session: Session, row: Volume, given: dict[str, Any]) -> None:
    size = given.get("new_size")
    if isinstance(size, str) and size.isdigit():
        size = int(size)
    if not isinstance(size, int) or isinstance(size, bool) or size < 1:
        raise invalid_input("New volume size must be specified as an integer.")
    if row.status != "available" or is_source(session, volume_id=row.id):
        raise invalid_volume(
            f"Volume {row.id} status must be 'available' to extend, and no copy of it being made; "
            f"it is currently {row.status}."
        )
    if size <= row.size:
        raise invalid_input(
            f"New size for extend must be greater than current size. (current: {row.size}, extended: {size})."
        )
    limits.check(session, row.project_id, "", size - row.size)
    service.files.extend(service.files.volume(row.id), size)
    row.size = size


def reset_status(service: VolumeService, session: Session, row: Volume, given: dict[str, Any]) -> None:
    status = given.get("status", row.status)
    if status not in STATUSES:
        raise invalid_input(f"Must specify a valid status: one of {', '.join(STATUSES)}.")
    row.status = status


def set_bootable(service: VolumeService, session: Session, row: Volume, given: dict[str, Any]) -> None:
    row.bootable = flag(given, "bootable")


def set_readonly(service: VolumeService, session: Session, row: Volume, given: dict[str, Any]) -> None:
    if row.status != "available":
        raise invalid_volume(f"Volume {row.id} status must be available to update readonly flag.")
    row.readonly = flag(given, "readonly")


def set_image_metadata(service: VolumeService, session: Session, row: Volume, given: dict[str, Any]) -> None:
    values = given.get("metadata")
    if not isinstance(values, dict) or not all(isinstance(v, str) and len(v) < 256 for v in values.values()):
        raise invalid_input("metadata must be an object whose values are short texts.")
    row.image_metadata = row.image_metadata | values


def unset_image_metadata(service: VolumeService, session: Session, row: Volume, given: dict[str, Any]) -> None:
    key = str(given.get("key"))
    if key not in row.image_metadata:
        raise ServiceError(404, "Metadata does not exist.")
    row.image_metadata = {k: v for k, v in row.image_metadata.items() if k != key}


def flag(given: dict[str, Any], name: str) -> bool:
    value = given.get(name)
    if isinstance(value, str) and value.lower() in ("true", "false", "1", "0"):
        return value.lower() in ("true", "1")
    if isinstance(value, bool):
        return value
    raise invalid_input(f"{name} must be a boolean.")


Action = Callable[[VolumeService, Session, Volume, dict[str, Any]], None]
ACTIONS: dict[str, tuple[Action, str, int]] = {
    "os-extend": (extend, "volume:extend", 202),
    "os-reset_status": (reset_status, "volume:reset_status", 202),
    "os-set_bootable": (set_bootable, "volume:update", 200),
    "os-update_readonly_flag": (set_readonly, "volume:update", 202),
    "os-set_image_metadata": (set_image_metadata, "volume:update", 200),
    "os-unset_image_metadata": (unset_image_metadata, "volume:update", 200),
}


@router.post("/{volume_id}/action")
def act(volume_id: str, body: dict[str, Any], caller: VolumeCaller, service: Service) -> Response:
    if len(body) != 1:
        raise ServiceError(400, "The body must name one action.")
    name, given = next(iter(body.items()))
    if name == "os-force_delete":
        return force_delete(service, caller, volume_id)
    if name == "os-show_image_metadata":
        with service.db.read() as session:
            return JSONResponse({"metadata": service.records.volume(session, caller, volume_id).image_metadata})
    if name in NOT_BUILT:
        raise not_built(f"The action {name}")
    if name not in ACTIONS:
        raise ServiceError(400, f"There is no such action: {name[:64]}")
    action, rule, status = ACTIONS[name]
    if not isinstance(given, dict):
        raise ServiceError(400, f"Invalid input for field/attribute {name}. An object is expected.")
    with service.db.write() as session:
        row = service.records.volume(session, caller, volume_id, rule, lock=True)
        action(service, session, row, given)
        row.updated_at = now()
    return Response(status_code=status) if status == 202 else JSONResponse({}, status_code=status)


def force_delete(service: VolumeService, caller: Context, volume_id: str) -> Response:
    """Delete in any state in which no one is attached; what is building it stops."""
    with service.db.write() as session:
        row = service.records.volume(session, caller, volume_id, "volume:force_delete", lock=True)
        snapshots = deleting.mark_volume(session, row, cascade=False, force=True)
    deleting.start(service, volume_id, snapshots)
    return Response(status_code=202)
