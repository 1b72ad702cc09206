"""Turns a request for a new volume into its row: sources, sizes, quota; the background work does the rest."""

import uuid

from sqlmodel import Session

from api.common.context import Context
from api.common.errors import ServiceError
from api.volume import limits
from api.volume.errors import exists, invalid_input, invalid_snapshot, invalid_volume, not_built
from api.volume.images import metadata
from api.volume.microversion import Version
from api.volume.schemas import NewVolume
from api.volume.service import VolumeService
from api.volume.types import is_multiattach, is_uuid
from infra.tables.volume import Volume, VolumeType


def create_volume(
    service: VolumeService, caller: Context, wanted: NewVolume, path_project: str | None, version: Version
) -> Volume:
    """The volume, `creating`. Only services and administrators may choose its id or another project; a repeat with the
    same id is 409."""
    _refuse_unsupported(service, wanted, version)
    project = wanted.project_id or path_project or caller.project_id
    if wanted.id or wanted.user_id or project != caller.project_id:
        service.policy.enforce(caller, "volume:create_for_project")
    else:
        service.policy.enforce(caller, "volume:create")
    if not project:
        raise ServiceError(403, "A token scoped to a project is needed.")
    row = _row(service, caller, wanted, project)
    with service.db.read() as session:
        if session.get(Volume, row.id):
            raise exists("Volume", row.id)
    if row.image_id:
        row.image_metadata = metadata(service.images.check(caller, row.image_id, _sized(row.size)))
        row.bootable = True
    with service.db.write() as session:
        if session.get(Volume, row.id):
            raise exists("Volume", row.id)
        kind = _take_from_source(service, session, caller, row)
        _set_type(service, caller, row, _type(service, session, caller, row, wanted.volume_type, kind))
        limits.check(session, project, "volumes", _sized(row.size), row.volume_type, size=row.size)
        session.add(row)
    slow = bool(row.image_id or row.snapshot_id or row.source_volid)
    service.jobs.submit("volume", row.id, project if slow else None)
    return row


def _row(service: VolumeService, caller: Context, wanted: NewVolume, project: str) -> Volume:
    return Volume(
        id=wanted.id or str(uuid.uuid4()),
        project_id=project,
        user_id=wanted.user_id or caller.user_id,
        name=wanted.name if wanted.name is not None else wanted.display_name,
        description=wanted.description if wanted.description is not None else wanted.display_description,
        size=wanted.size or 0,
        availability_zone=wanted.availability_zone or service.settings.availability_zone,
        volume_type="",
        volume_type_id="",
        image_id=_image_id(wanted.imageRef or wanted.image_id or None),
        snapshot_id=wanted.snapshot_id,
        source_volid=wanted.source_volid,
        properties=wanted.metadata or {},
    )


def _image_id(reference: str | None) -> str | None:
    """The id, also at the end of a link, as Cinder takes it; 400 for anything else."""
    if not reference:
        return None
    last = reference.rpartition("/")[2]
    if not is_uuid(last):
        raise ServiceError(400, "Invalid image identifier or unable to access requested image.")
    return last


def _sized(size: int) -> int:
    if size < 1:
        raise invalid_input(f"Volume size '{size or None}' must be an integer and greater than 0")
    return size


def _type(
    service: VolumeService, session: Session, caller: Context, row: Volume, asked: str | None, source: str
) -> VolumeType:
    """What was asked for, else the source's type, else the project's default."""
    if asked and asked != "__DEFAULT__":
        return service.types.named(session, caller, asked)
    known = session.get(VolumeType, source) if source else None
    return known or service.types.default(session, row.project_id)


def _set_type(service: VolumeService, caller: Context, row: Volume, kind: VolumeType) -> None:
    row.volume_type, row.volume_type_id, row.multiattach = kind.name, kind.id, is_multiattach(kind)
    if row.multiattach:
        service.policy.enforce(caller, "volume:multiattach", {"project_id": row.project_id})


def _refuse_unsupported(service: VolumeService, wanted: NewVolume, version: Version) -> None:
    if wanted.backup_id and version >= (3, 47):
        raise not_built("Restoring a backup")
    if wanted.consistencygroup_id or (wanted.group_id and version >= (3, 13)):
        raise not_built("A volume group")
    if wanted.multiattach:
        raise ServiceError(
            400,
            "multiattach parameter has been removed. The default behavior is to use multiattach enabled volume types. "
            "Contact your administrator to create a multiattach enabled volume type and use it to create multiattach "
            "volumes.",
        )
    if wanted.availability_zone and wanted.availability_zone != service.settings.availability_zone:
        raise invalid_input(f"Availability zone '{wanted.availability_zone}' is invalid.")
    sources = (wanted.imageRef or wanted.image_id, wanted.snapshot_id, wanted.source_volid)
    if sum(bool(source) for source in sources) > 1:
        raise invalid_input("A volume has one source: a snapshot, an image or another volume.")


def _take_from_source(service: VolumeService, session: Session, caller: Context, row: Volume) -> str:
    """Check the snapshot or volume that `row` is made from, inherit its size and boot facts; its type's id."""
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
        origin = session.get(Volume, snapshot.volume_id)
        return origin.volume_type_id if origin else ""
    if row.source_volid:
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
        return source.volume_type_id
    return ""
