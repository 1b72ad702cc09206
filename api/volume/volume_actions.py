"""Actions on volumes: POST /volumes/{id}/action. Source: Block Storage API v3, "Volume actions (volumes, action)"."""

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from sqlmodel import Session

from api.common.context import Context
from api.common.errors import ServiceError
from api.volume import deleting, growing, legacy, reworking, uploading
from api.volume.errors import invalid_input, invalid_volume, not_built
from api.volume.microversion import Version as Microversion
from api.volume.records import attachments_of
from api.volume.schemas import FALSE, TRUE
from api.volume.service import Service, Version, VolumeCaller, VolumeService
from infra.tables.volume import Volume, now

router = APIRouter(prefix="/volumes")
STATUSES = (
    "available",
    "error",
    "attaching",
    "detaching",
    "in-use",
    "maintenance",
    "error_deleting",
    "error_extending",
)
"""Statuses that an administrator may set. Those that stand for work in progress would start that work."""
IMAGE_ITEMS = 128
NOT_BUILT: dict[str, tuple[str, Microversion]] = {
    "os-migrate_volume": ("Moving a volume to another backend", (3, 0)),
    "os-migrate_volume_completion": ("Moving a volume to another backend", (3, 0)),
    "os-unmanage": ("Releasing a volume without deleting it", (3, 0)),
    "os-extend_volume_completion": ("Completing the growth of a volume from outside", (3, 71)),
}


def reset_status(service: VolumeService, session: Session, row: Volume, given: dict[str, Any]) -> None:
    """`attach_status` and `migration_status` cannot be set: attachments say who has the volume."""
    status = given.get("status", row.status)
    if not isinstance(status, str) or status not in STATUSES:
        raise invalid_input(f"Must specify a valid status: one of {', '.join(STATUSES)}.")
    if strange := sorted(set(given) - {"status"}):
        raise invalid_input(f"{strange[0][:64]} cannot be set by this volume service.")
    if status == "available" and attachments_of(session, row.id):
        raise invalid_volume(f"Volume {row.id} is attached: its status is not available.")
    row.status, row.task, row.target_size = status, None, None


def set_bootable(service: VolumeService, session: Session, row: Volume, given: dict[str, Any]) -> None:
    row.bootable = flag(given, "bootable")


def set_readonly(service: VolumeService, session: Session, row: Volume, given: dict[str, Any]) -> None:
    if row.status != "available":
        raise invalid_volume(
            f"Volume {row.id} status must be available to update readonly flag, but current status is: {row.status}."
        )
    row.readonly = flag(given, "readonly")


def set_image_metadata(service: VolumeService, session: Session, row: Volume, given: dict[str, Any]) -> None:
    values = given.get("metadata")
    if not isinstance(values, dict):
        raise invalid_input("metadata must be an object.")
    for key, value in values.items():
        if not (isinstance(value, str) and len(value) <= 255 and 1 <= len(key) <= 255):
            raise invalid_input("Image metadata keys and values must be texts of at most 255 characters.")
    merged = row.image_metadata | values
    if len(merged) > IMAGE_ITEMS:
        raise ServiceError(413, f"Maximum number of image metadata items exceeds limit ({IMAGE_ITEMS}).")
    row.image_metadata = merged


def unset_image_metadata(service: VolumeService, session: Session, row: Volume, given: dict[str, Any]) -> None:
    key = given.get("key")
    if not isinstance(key, str) or key not in row.image_metadata:
        raise ServiceError(404, "Metadata does not exist.")
    row.image_metadata = {k: v for k, v in row.image_metadata.items() if k != key}


def flag(given: dict[str, Any], name: str) -> bool:
    value = given.get(name)
    if isinstance(value, str) and value.lower() in TRUE + FALSE:
        return value.lower() in TRUE
    if isinstance(value, bool):
        return value
    raise invalid_input(f"{name} must be a boolean.")


Change = Callable[[VolumeService, Session, Volume, dict[str, Any]], None]
CHANGES: dict[str, tuple[Change, str, int]] = {
    "os-reset_status": (reset_status, "volume:reset_status", 202),
    "os-set_bootable": (set_bootable, "volume:update", 200),
    "os-update_readonly_flag": (set_readonly, "volume:update", 202),
    "os-set_image_metadata": (set_image_metadata, "volume_extension:volume_image_metadata:set", 200),
    "os-unset_image_metadata": (unset_image_metadata, "volume_extension:volume_image_metadata:set", 200),
}
"""Changes that are one transaction on the volume's row."""

Act = Callable[[VolumeService, Context, str, dict[str, Any]], Response]
VERSIONED: dict[str, tuple[Callable[..., Response], Microversion]] = {
    "os-extend": (growing.extend, (3, 0)),
    "os-volume_upload_image": (uploading.upload, (3, 0)),
    "os-retype": (reworking.retype, (3, 0)),
    "revert": (reworking.revert, (3, 40)),
    "os-reimage": (reworking.reimage, (3, 68)),
}

EXISTS_SINCE = {name: since for name, (_, since) in (VERSIONED | NOT_BUILT).items()}
"""Before it, an action is not found, as a route is not."""

FIELDS: dict[str, set[str]] = {
    "os-retype": {"new_type", "migration_policy"},
    "os-reimage": {"image_id", "reimage_reserved"},
    "os-set_bootable": {"bootable"},
    "os-update_readonly_flag": {"readonly"},
    "os-set_image_metadata": {"metadata"},
    "os-unset_image_metadata": {"key"},
    "os-initialize_connection": {"connector"},
    "os-terminate_connection": {"connector"},
    "os-attach": {"instance_uuid", "host_name", "mountpoint", "mode"},
    "os-detach": {"attachment_id"},
    "os-force_detach": {"attachment_id", "connector"},
}
"""What an action may be given, where Cinder's schema names it; the others look at theirs themselves."""


def refuse_strange(name: str, given: dict[str, Any]) -> None:
    """400 for a field that nobody would look at."""
    if name in FIELDS and (strange := sorted(set(given) - FIELDS[name])):
        words = f"Additional properties are not allowed ('{strange[0][:64]}' was unexpected)"
        raise ServiceError(400, f"Invalid input for field/attribute {name}. {words}")


def is_object(name: str, given: object) -> bool:
    """An object, or nothing where Cinder takes nothing (os-reserve and its like, os-detach, os-force_detach)."""
    return isinstance(given, dict) or (given is None and name in legacy.TABLE and name != "os-attach")


@router.post("/{volume_id}/action")
def act(volume_id: str, body: dict[str, Any], caller: VolumeCaller, service: Service, version: Version) -> Response:
    if len(body) != 1:
        raise ServiceError(400, "The body must name one action.")
    name, given = next(iter(body.items()))
    if name == "os-force_delete":
        service.reserve.freeing(lambda: deleting.force_delete(service, caller, volume_id))
        return Response(status_code=202)
    if name == "os-show_image_metadata":
        with service.db.read() as session:
            return JSONResponse({"metadata": service.records.volume(session, caller, volume_id).image_metadata})
    if version < EXISTS_SINCE.get(name, version):
        raise ServiceError(404, "The resource could not be found.")
    if name in NOT_BUILT:
        raise not_built(NOT_BUILT[name][0])
    if name not in CHANGES and name not in legacy.TABLE and name not in VERSIONED:
        raise ServiceError(400, f"There is no such action: {name[:64]}")
    if not is_object(name, given):
        raise ServiceError(400, f"Invalid input for field/attribute {name}. An object is expected.")
    refuse_strange(name, given or {})
    if name in VERSIONED:
        return VERSIONED[name][0](service, caller, volume_id, given, version)
    if name in legacy.TABLE:
        return legacy.TABLE[name](service, caller, volume_id, given or {})
    return change(service, caller, volume_id, name, given)


def change(service: VolumeService, caller: Context, volume_id: str, name: str, given: dict[str, Any]) -> Response:
    apply, rule, status = CHANGES[name]
    with service.db.write() as session:
        row = service.records.volume(session, caller, volume_id, rule, lock=True)
        apply(service, session, row, given)
        row.updated_at = now()
        told = {"metadata": row.image_metadata} if name == "os-set_image_metadata" else None
    return JSONResponse(told, status_code=status) if told else Response(status_code=status)
