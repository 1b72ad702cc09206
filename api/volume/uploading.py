"""os-volume_upload_image: a volume becomes an image. Source: Block Storage API v3, "Upload volume to image".

The request makes the image's record with the caller's own token; the bytes follow in the background."""

import uuid
from typing import Any

from fastapi import Response
from fastapi.responses import JSONResponse

from api.common.context import Context
from api.common.errors import ServiceError
from api.volume.errors import invalid_input, invalid_volume
from api.volume.files import MADE
from api.volume.microversion import Version
from api.volume.records import settle_status
from api.volume.schemas import FALSE, TRUE
from api.volume.service import VolumeService
from api.volume.views import moment
from infra.tables.volume import Volume, now

VISIBILITIES = ("community", "public", "private", "shared")
OLD = ("image_name", "force", "disk_format", "container_format")
NEW = ("visibility", "protected")
KEPT_BACK = ("image_id", "image_name", "checksum", "container_format", "disk_format", "min_disk", "size")
"""What a volume knows of its own image that is not true of the new one."""


def upload(
    service: VolumeService, caller: Context, volume_id: str, given: dict[str, Any], version: Version
) -> Response:
    image = _image(service, caller, given, version)
    force = _flag(given, "force")
    with service.db.write() as session:
        rule = "volume_extension:volume_actions:upload_image"
        row = service.records.volume(session, caller, volume_id, rule, lock=True)
        states = ("available", "in-use") if force else ("available",)
        if row.status not in states:
            raise invalid_volume(f"Volume {row.id} status must be {' or '.join(states)}")
        row.status, row.updated_at = "uploading", now()
        row.task = {"image_id": image["id"], "disk_format": image["disk_format"]}
        properties = {k: str(v) for k, v in row.image_metadata.items() if k not in KEPT_BACK}
    try:
        made = service.images.create(caller, {**properties, **image, "min_disk": row.size})
    except ServiceError:
        with service.db.write() as session:
            if (stored := session.get(Volume, volume_id, with_for_update=True)) and stored.status == "uploading":
                stored.task = None
                settle_status(session, stored)
        raise
    service.uploads.begun(volume_id, caller)
    service.jobs.submit("volume", volume_id, row.project_id)
    return JSONResponse({"os-volume_upload_image": _answer(row, made)}, status_code=202)


def _flag(given: dict[str, Any], name: str) -> bool:
    value = str(given.get(name, False)).lower()
    if value not in TRUE + FALSE:
        raise invalid_input(f"{name} must be a boolean.")
    return value in TRUE


def _image(service: VolumeService, caller: Context, given: dict[str, Any], version: Version) -> dict[str, Any]:
    """The record of the new image; its id is chosen here, so that a crash leaves no image that nobody knows."""
    allowed = OLD + (NEW if version >= (3, 1) else ())
    if strange := sorted(set(given) - set(allowed)):
        raise ServiceError(400, f"Additional properties are not allowed ('{strange[0][:64]}' was unexpected)")
    name, form = given.get("image_name"), given.get("disk_format", "raw")
    if not isinstance(name, str) or not 1 <= len(name) <= 255:
        raise invalid_input("image_name must have 1 to 255 characters.")
    if not isinstance(form, str) or form not in MADE:
        raise invalid_input(f"disk_format must be one of {', '.join(MADE)}.")
    if given.get("container_format", "bare") != "bare":
        raise invalid_input("This volume service makes images with the container_format 'bare' only.")
    image: dict[str, Any] = {"id": str(uuid.uuid4()), "name": name, "disk_format": form, "container_format": "bare"}
    if version >= (3, 1):
        image["visibility"] = given.get("visibility", "private")
        image["protected"] = _flag(given, "protected")
        if image["visibility"] not in VISIBILITIES:
            raise invalid_input(f"visibility must be one of {', '.join(VISIBILITIES)}.")
        if image["visibility"] == "public":
            service.policy.enforce(caller, "volume_extension:volume_actions:upload_public")
    return image


def _answer(row: Volume, made: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": row.id,
        "updated_at": moment(row.updated_at),
        "status": "uploading",
        "display_description": row.description,
        "size": row.size,
        "volume_type": row.volume_type,
        "image_id": made["id"],
        "container_format": made["container_format"],
        "disk_format": made["disk_format"],
        "image_name": made["name"],
        "protected": bool(made.get("protected")),
        "visibility": made.get("visibility", "private"),
    }
