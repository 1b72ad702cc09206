"""createImage and createBackup: what they cannot copy, and how their answer names the image."""

from typing import Any

from fastapi import Response
from fastapi.responses import JSONResponse
from sqlalchemy import RowMapping

from api.compute.call import ComputeCall
from api.compute.errors import bad_request, forbidden
from api.compute.neighbours import volume
from api.compute.records import quotas
from workflows.requests import Accepted


def prepare_image(call: ComputeCall, row: RowMapping, wish: dict[str, Any]) -> dict[str, Any]:
    """403 for more metadata than the quota allows, and for a policy against images of servers that boot from a volume.
    Of these it adds the volumes' `sizes`, in GiB; 400 when one is gone."""
    require_room_for(call, wish.get("metadata", {}))
    if row["image_ref"]:
        return wish
    call.enforce("os_compute_api:servers:create_image:allow_volume_backed", project_id=row["project_id"])
    return {**wish, "sizes": {held["volume_id"]: _size(call, held["volume_id"]) for held in row["volumes"]}}


def _size(call: ComputeCall, volume_id: str) -> int:
    found = volume(call, volume_id)
    if found is None:
        raise bad_request(f"Volume {volume_id} could not be found.")
    return int(found["size"])


def require_room_for(call: ComputeCall, metadata: dict[str, str]) -> None:
    """403 for more metadata than the quota allows."""
    with call.db.read() as session:
        most = quotas.limits(session, call.context.project_id)["metadata_items"]
    if 0 <= most < len(metadata):
        raise forbidden(f"Maximum number of metadata items exceeds {most}")


def prepare_backup(call: ComputeCall, row: RowMapping, wish: dict[str, Any]) -> dict[str, Any]:
    """400, as Nova has it, for a server that boots from a volume."""
    if not row["image_ref"]:
        raise bad_request("Backup is not supported for volume-backed instances.")
    return prepare_image(call, row, wish)


def answer(call: ComputeCall, accepted: Accepted, wish: dict[str, Any]) -> Response:
    """2.45: the image's id in the body; before that its address in a header, unless it is a backup of which none is
    kept."""
    image_id = accepted.answer["image_id"]
    if call.since(45):
        return JSONResponse({"image_id": image_id}, status_code=202)
    if wish.get("rotation") == 0:
        return Response(status_code=202)
    return Response(status_code=202, headers={"Location": call.settings.url("image", f"/images/{image_id}")})
