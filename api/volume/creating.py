"""Turns a request for a new volume into its row: sources, sizes, quota; the background work does the rest."""

import uuid

from sqlmodel import Session

from api.common.context import Context
from api.common.errors import ServiceError
from api.volume import limits
from api.volume.errors import exists, invalid_input, invalid_snapshot, invalid_volume, not_built
from api.volume.images import metadata
from api.volume.schemas import NewVolume
from api.volume.service import TYPE_ID, TYPE_NAME, VolumeService
from infra.tables.volume import Volume


def create_volume(service: VolumeService, caller: Context, wanted: NewVolume, path_project: str | None) -> Volume:
    """The volume, `creating`. Only services and administrators may choose its id or another project; a repeat with the
    same id is 409."""
    _refuse_unsupported(service, wanted)
    project = wanted.project_id or path_project or caller.project_id
    if wanted.id or wanted.user_id or project != caller.project_id:
        service.policy.enforce(caller, "volume:create_for_project")
    else:
        service.policy.enforce(caller, "volume:create")
    if not project:
        raise ServiceError(403, "A token scoped to a project is needed.")
    row = Volume(
        id=wanted.id or str(uuid.uuid4()),
        project_id=project,
        user_id=wanted.user_id or caller.user_id,
        name=wanted.name,
        description=wanted.description,
        size=wanted.size or 0,
        availability_zone=wanted.availability_zone or service.settings.availability_zone,
        volume_type=TYPE_NAME,
        image_id=wanted.imageRef or None,
        snapshot_id=wanted.snapshot_id,
        source_volid=wanted.source_volid,
        properties=wanted.metadata or {},
    )
    with service.db.read() as session:
        if session.get(Volume, row.id):
            raise exists("Volume", row.id)
    if row.image_id:
        row.image_metadata = metadata(service.images.check(caller, row.image_id, _sized(row.size)))
        row.bootable = True
    with service.db.write() as session:
        if session.get(Volume, row.id):
            raise exists("Volume", row.id)
        _take_from_source(service, session, caller, row)
        limits.check(session, project, "volumes", _sized(row.size))
        session.add(row)
    service.jobs.submit("volume", row.id, slow=bool(row.image_id or row.snapshot_id or row.source_volid))
    return row


def _sized(size: int) -> int:
    if size < 1:
        raise invalid_input(f"Volume size '{size or None}' must be an integer and greater than 0")
    return size


def _refuse_unsupported(service: VolumeService, wanted: NewVolume) -> None:
    if wanted.backup_id:
        raise not_built("Restoring a backup")
    if wanted.consistencygroup_id or wanted.group_id:
        raise not_built("A volume group")
    if wanted.multiattach:
        raise invalid_input("multiattach is a property of volume types, and no type has it.")
    if wanted.volume_type and wanted.volume_type not in (TYPE_NAME, TYPE_ID, "__DEFAULT__"):
        raise ServiceError(404, f"Volume type with name {wanted.volume_type[:255]} could not be found.")
    if wanted.availability_zone and wanted.availability_zone != service.settings.availability_zone:
        raise invalid_input(f"Availability zone '{wanted.availability_zone}' is invalid.")
    if sum(bool(source) for source in (wanted.imageRef, wanted.snapshot_id, wanted.source_volid)) > 1:
        raise invalid_input("A volume has one source: a snapshot, an image or another volume.")


def _take_from_source(service: VolumeService, session: Session, caller: Context, row: Volume) -> None:
    """Check the snapshot or volume that `row` is made from, and inherit its size and boot facts."""
    if row.snapshot_id:
        snapshot = service.records.snapshot(session, caller, row.snapshot_id, lock=True)
        if snapshot.status != "available":
            raise invalid_snapshot("Originating snapshot status must be one of 'available' values")
        row.size = row.size or snapshot.size
        if row.size < snapshot.size:
            raise invalid_input(
                f"Volume size '{row.size}'GB cannot be smaller than the snapshot size {snapshot.size}GB. "
                "They must be >= original snapshot size."
            )
        row.bootable, row.image_metadata = snapshot.bootable, snapshot.image_metadata
    elif row.source_volid:
        source = service.records.volume(session, caller, row.source_volid, lock=True)
        if source.status not in ("available", "in-use"):
            raise invalid_volume("Originating source volume status must be one of 'available, in-use' values")
        row.size = row.size or source.size
        if row.size < source.size:
            raise invalid_input(
                f"Volume size '{row.size}'GB cannot be smaller than original volume size {source.size}GB. "
                "They must be >= original volume size."
            )
        row.bootable, row.image_metadata = source.bootable, source.image_metadata
