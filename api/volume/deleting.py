"""Marks volumes and snapshots for deletion, after the checks that Cinder makes; the background work removes them."""

from sqlmodel import Session, select

from api.common.context import Context
from api.volume.errors import invalid_snapshot, invalid_volume
from api.volume.records import attachments_of, is_source
from api.volume.service import VolumeService
from infra.tables.volume import Snapshot, Volume, now

IDLE = ("available", "error", "error_deleting", "error_extending", "error_restoring", "error_managing")
REFUSAL = (
    "Volume status must be available or error or error_restoring or error_extending or error_managing and must not be "
    "migrating, attached, belong to a group, have snapshots, awaiting a transfer, or be disassociated from snapshots "
    "after volume transfer."
)


def delete_volume(service: VolumeService, caller: Context, volume_id: str, *, cascade: bool, force: bool) -> None:
    with service.db.write() as session:
        row = service.records.volume(session, caller, volume_id, "volume:delete", lock=True)
        if force:
            service.policy.enforce(caller, "volume:force_delete", {"project_id": row.project_id})
        # A service that undoes a build must not have to wait for the download that it started.
        force = force or (caller.is_service and row.status in ("creating", "downloading"))
        snapshots = mark_volume(session, row, cascade=cascade, force=force)
    start(service, volume_id, snapshots)


def force_delete(service: VolumeService, caller: Context, volume_id: str) -> None:
    """Delete in any state in which no one is attached; what is building it stops."""
    with service.db.write() as session:
        row = service.records.volume(session, caller, volume_id, "volume:force_delete", lock=True)
        snapshots = mark_volume(session, row, cascade=False, force=True)
    start(service, volume_id, snapshots)


def delete_snapshot(service: VolumeService, caller: Context, snapshot_id: str, *, force: bool) -> None:
    with service.db.write() as session:
        rule = "volume:force_delete" if force else "volume:delete_snapshot"
        row = service.records.snapshot(session, caller, snapshot_id, rule, lock=True)
        mark_snapshot(session, row, force=force)
    service.work.doom(snapshot_id)
    service.jobs.submit("snapshot", snapshot_id)


def mark_volume(session: Session, volume: Volume, *, cascade: bool, force: bool) -> list[str]:
    """Set `deleting`; ids of the snapshots that go with the volume. 400 while it is used by anything.

    `force` also takes a volume that is being made. A volume that is being deleted already stays so."""
    snapshots = list(session.exec(select(Snapshot).where(Snapshot.volume_id == volume.id).with_for_update()).all())
    if volume.status == "deleting":
        return [snapshot.id for snapshot in snapshots]
    if not force and volume.status not in IDLE:
        raise invalid_volume(REFUSAL)
    used = attachments_of(session, volume.id)
    if used or (snapshots and not cascade) or volume.status == "awaiting-transfer":
        raise invalid_volume(REFUSAL)
    if any(snapshot.project_id != volume.project_id for snapshot in snapshots):
        raise invalid_volume(REFUSAL)  # left behind by a transfer without snapshots: another project's
    if is_source(session, volume_id=volume.id) and not (cascade and force):
        raise invalid_volume("A copy of the volume is being made.")
    for snapshot in snapshots:
        mark_snapshot(session, snapshot, force=force)
    volume.status, volume.updated_at = "deleting", now()
    return [snapshot.id for snapshot in snapshots]


def mark_snapshot(session: Session, snapshot: Snapshot, *, force: bool) -> None:
    if snapshot.status == "deleting":
        return
    if not force and snapshot.status not in IDLE:
        raise invalid_snapshot("Snapshot status must be available or error, and must not be part of a group.")
    if is_source(session, snapshot_id=snapshot.id):
        raise invalid_snapshot("A volume is being made from the snapshot.")
    snapshot.status, snapshot.updated_at = "deleting", now()


def start(service: VolumeService, volume_id: str, snapshot_ids: list[str]) -> None:
    """Begin the removal of a marked volume; its work removes its marked snapshots first."""
    for doomed in (*snapshot_ids, volume_id):
        service.work.doom(doomed)
    service.jobs.submit("volume", volume_id)
