"""os-extend: a volume gets larger, also (since 3.42) while servers use it.

Source: Block Storage API v3, "Extend a volume size"; the checks and words are Cinder's."""

from typing import Any

from fastapi import Response

from api.common.context import Context
from api.volume import limits
from api.volume.errors import invalid_input, invalid_volume
from api.volume.filters import whole
from api.volume.microversion import Version
from api.volume.records import is_source
from api.volume.service import VolumeService
from infra.tables.volume import now


def extend(
    service: VolumeService, caller: Context, volume_id: str, given: dict[str, Any], version: Version
) -> Response:
    """A volume that nobody has is larger at once. One in use is `extending` until its exports have the new size and the
    compute service was told."""
    size = whole(given.get("new_size"))
    if set(given) != {"new_size"} or size is None or not 1 <= size < 2**31:
        raise invalid_input("New volume size must be specified as an integer greater than 0.")
    with service.db.write() as session:
        row = service.records.volume(session, caller, volume_id, "volume:extend", lock=True)
        if size <= row.size:
            raise invalid_input(
                f"New size for extend must be greater than current size. (current: {row.size}, extended: {size})."
            )
        attached = row.status == "in-use" and version >= (3, 42)
        if attached:
            service.policy.enforce(caller, "volume:extend_attached_volume", {"project_id": row.project_id})
        if row.status != "available" and not attached:
            wanted = "available"
            raise invalid_volume(
                f"Volume {row.id} status must be '{{'status': '{wanted}'}}' to extend, currently {row.status}."
            )
        if is_source(session, volume_id=row.id):
            raise invalid_volume(f"Volume {row.id} cannot be extended while a copy of it is being made.")
        limits.check(session, row.project_id, "", size - row.size, row.volume_type, size=size)
        row.updated_at = now()
        if attached:
            row.status, row.target_size = "extending", size
        else:
            service.files.extend(service.files.volume(row.id), size)
            row.size = size
    if attached:
        service.jobs.submit("volume", volume_id)
    return Response(status_code=202)
