"""Marks volumes and snapshots for deletion, after the checks that Cinder makes; the background work removes them."""

from sqlmodel import Session, select

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


def mark_volume(session: Session, volume: Volume, *, cascade: bool, force: bool) -> list[str]:
    """Set `deleting`; ids of the snapshots that go with the volume. 400 while it is used by anything.

    `force` also takes a volume that is being made. A volume that is being deleted already stays so."""
    snapshots = list(session.exec(select(Snapshot).where(Snapshot.volume_id == volume.id).with_for_update()).all())
    if volume.status == "deleting":
        return [snapshot.id for snapshot in snapshots]
    if not force and volume.status not in IDLE:
        raise invalid_volume(REFUSAL)
    if attachments_of(session, volume.id) or (snapshots and not cascade):
        raise invalid_volume(REFUSAL)
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
