"""Actions that give a volume another type or other bytes: retype, revert to its last snapshot, re-image."""

import re
from typing import Any

from fastapi import Response
from sqlmodel import col, select

from api.common.context import Context
from api.common.errors import ServiceError
from api.volume import limits
from api.volume.errors import invalid_input, invalid_volume
from api.volume.images import metadata
from api.volume.microversion import Version
from api.volume.records import attachments_of, is_source
from api.volume.schemas import FALSE, TRUE, UUID
from api.volume.service import VolumeService
from api.volume.types import is_multiattach
from infra.tables.volume import Snapshot, now


def retype(
    service: VolumeService, caller: Context, volume_id: str, given: dict[str, Any], version: Version
) -> Response:
    """All types lie on the one backend, so nothing moves, and `migration_policy` has nothing to decide."""
    asked = given.get("new_type")
    if not isinstance(asked, str) or given.get("migration_policy") not in (None, "never", "on-demand"):
        raise ServiceError(
            400, "Invalid input for field/attribute os-retype. A type and a migration policy are needed."
        )
    with service.db.write() as session:
        row = service.records.volume(session, caller, volume_id, "volume:retype", lock=True)
        kind = service.types.named(session, caller, asked)
        if is_multiattach(kind) != row.multiattach and row.status != "available":
            raise invalid_input(
                "Invalid volume_type passed, retypes affecting multiattach are only allowed on available volumes, "
                f"the specified volume however currently has a status of: {row.status}."
            )
        if is_multiattach(kind):
            service.policy.enforce(caller, "volume:multiattach", {"project_id": row.project_id})
        if row.status not in ("available", "in-use") or row.volume_type_id == kind.id:
            raise invalid_volume(
                "Retype needs volume to be in available or in-use state, not be part of an active migration or a "
                "consistency group, requested type has to be different that the one from the volume, and for in-use "
                "volumes front-end qos specs cannot change."
            )
        limits.check_type(session, row.project_id, kind.name, row.size)
        row.volume_type, row.volume_type_id, row.multiattach = kind.name, kind.id, is_multiattach(kind)
        row.updated_at = now()
    return Response(status_code=202)


def revert(
    service: VolumeService, caller: Context, volume_id: str, given: dict[str, Any], version: Version
) -> Response:
    """Since 3.40: the volume gets the bytes of its latest snapshot again."""
    wanted = given.get("snapshot_id")
    with service.db.write() as session:
        row = service.records.volume(session, caller, volume_id, "volume:revert_to_snapshot", lock=True)
        query = select(Snapshot).where(Snapshot.volume_id == row.id).order_by(col(Snapshot.created_at).desc())
        latest = session.exec(query).first()
        if latest is None:
            raise ServiceError(400, f"Volume {row.id} doesn't have any snapshots.")
        if wanted != latest.id:
            raise ServiceError(
                400, f"Specified snapshot {str(wanted)[:64]} is None or not the latest one of volume {row.id}."
            )
        if row.size != latest.size:
            raise ServiceError(
                400,
                f"Can't revert volume {row.id} to its latest snapshot {latest.id}. The volume size must be equal to "
                "the snapshot size.",
            )
        for what, kind, status in (("Volume", "volume", row.status), ("Snapshot", "snapshot", latest.status)):
            if status != "available" or is_source(session, volume_id=row.id):
                raise ServiceError(
                    409,
                    f"Invalid {kind}: Can't revert volume {row.id} to its latest snapshot {latest.id}. "
                    f"{what}'s status must be 'available'.",
                )
        row.status, row.task, row.updated_at = "reverting", {"snapshot_id": latest.id}, now()
        latest.status, latest.updated_at = "restoring", now()
    service.jobs.submit("volume", volume_id, row.project_id)
    return Response(status_code=202)


def reimage(
    service: VolumeService, caller: Context, volume_id: str, given: dict[str, Any], version: Version
) -> Response:
    """Since 3.68: an image is written over a volume; the compute service is told when a server waits for that."""
    image_id, reserved = given.get("image_id"), given.get("reimage_reserved", False)
    if not isinstance(image_id, str) or not re.fullmatch(UUID, image_id):
        raise ServiceError(400, "Invalid input for field/attribute image_id. An id is expected.")
    if str(reserved).lower() not in TRUE + FALSE:
        raise ServiceError(400, "Invalid input for field/attribute reimage_reserved. A boolean is expected.")
    states = ("available", "error", "reserved") if str(reserved).lower() in TRUE else ("available", "error")
    with service.db.read() as session:
        row = service.records.volume(session, caller, volume_id, "volume:reimage")
    image = service.images.check(caller, image_id, row.size)
    with service.db.write() as session:
        row = service.records.volume(session, caller, volume_id, "volume:reimage", lock=True)
        if len(attachments_of(session, row.id)) > 1:
            raise ServiceError(409, "Cannot re-image a volume which is attached to more than one server.")
        if row.status not in states or is_source(session, volume_id=row.id):
            raise invalid_volume(
                f"Volume {row.id} status must be {' or '.join(states)}, but current status is {row.status}."
            )
        row.status, row.updated_at = "downloading", now()
        row.task = {"image_id": image_id, "metadata": metadata(image)}
    service.jobs.submit("volume", volume_id, row.project_id)
    return Response(status_code=202)
