"""Routes of snapshots. Source: Block Storage API v3, "Volume snapshots (snapshots)"."""

import uuid
from typing import Any

from fastapi import APIRouter, Request, Response

from api.common.errors import ServiceError
from api.volume import deleting, limits, views
from api.volume.errors import exists, invalid_input, invalid_volume, not_built
from api.volume.listing import Listing
from api.volume.schemas import NewSnapshot, SnapshotCreate, SnapshotUpdate
from api.volume.service import Service, Version, VolumeCaller
from infra.tables.volume import Snapshot, now

router = APIRouter(prefix="/snapshots")
STATUSES = ("available", "error", "error_deleting")


def allowed_states(wanted: NewSnapshot, version: tuple[int, int]) -> tuple[str, ...]:
    """A volume in use needs `force` before 3.66; since then its snapshot is always allowed, and a false `force` not."""
    if version >= (3, 66) and wanted.force is False:
        raise ServiceError(
            400,
            "Since microversion 3.66 the 'force' flag is invalid for this request.  For backward compatability, "
            "however, when the 'force' flag is passed with a value evaluating to True, it is silently ignored.",
        )
    return ("available", "in-use") if version >= (3, 66) or wanted.force else ("available",)


@router.post("", status_code=202)
def create(body: SnapshotCreate, caller: VolumeCaller, service: Service, version: Version) -> dict[str, Any]:
    wanted = body.snapshot
    states = allowed_states(wanted, version)
    if wanted.id:
        service.policy.enforce(caller, "volume:create_for_project")
    with service.db.write() as session:
        volume = service.records.volume(session, caller, str(wanted.volume_id), "volume:create_snapshot", lock=True)
        if wanted.id and session.get(Snapshot, wanted.id):
            raise exists("Snapshot", wanted.id)
        if volume.status not in states:
            raise invalid_volume(
                f"Volume {volume.id} status must be {', '.join(states)}, but current status is: {volume.status}."
            )
        limits.check(session, volume.project_id, "snapshots", volume.size, volume.volume_type)
        row = Snapshot(
            id=wanted.id or str(uuid.uuid4()),
            volume_id=volume.id,
            project_id=volume.project_id,
            user_id=caller.user_id,
            name=wanted.name if wanted.name is not None else wanted.display_name,
            description=wanted.description,
            size=volume.size,
            bootable=volume.bootable,
            properties=wanted.metadata or {},
            image_metadata=volume.image_metadata,
        )
        session.add(row)
    service.jobs.submit("snapshot", row.id, row.project_id)
    return {"snapshot": views.new_snapshot(row, version)}


@router.get("")
def index(request: Request, caller: VolumeCaller, service: Service) -> dict[str, Any]:
    with service.db.read() as session:
        found = Listing(request, caller, service.policy, Snapshot)
        rows = [views.snapshot_summary(row) for row in found.page(session) if isinstance(row, Snapshot)]
    return found.envelope(service.settings, "snapshots", rows)


@router.get("/detail")
def detail(request: Request, caller: VolumeCaller, service: Service, version: Version) -> dict[str, Any]:
    with service.db.read() as session:
        found = Listing(request, caller, service.policy, Snapshot)
        rows = [views.snapshot(row, version) for row in found.page(session) if isinstance(row, Snapshot)]
    return found.envelope(service.settings, "snapshots", rows)


@router.get("/{snapshot_id}")
def show(snapshot_id: str, caller: VolumeCaller, service: Service, version: Version) -> dict[str, Any]:
    with service.db.read() as session:
        return {"snapshot": views.snapshot(service.records.snapshot(session, caller, snapshot_id), version)}


@router.put("/{snapshot_id}")
def update(
    snapshot_id: str, body: SnapshotUpdate, caller: VolumeCaller, service: Service, version: Version
) -> dict[str, Any]:
    changes = body.snapshot.values()
    if not changes:
        raise ServiceError(400, "Invalid input for field/attribute snapshot. Nothing to change is named.")
    with service.db.write() as session:
        row = service.records.snapshot(session, caller, snapshot_id, "volume:update_snapshot", lock=True)
        for name, value in changes.items():
            setattr(row, name, value)
        row.updated_at = now()
    return {"snapshot": views.new_snapshot(row, version)}


@router.delete("/{snapshot_id}", status_code=202)
def delete(snapshot_id: str, caller: VolumeCaller, service: Service) -> Response:
    service.reserve.freeing(lambda: deleting.delete_snapshot(service, caller, snapshot_id, force=False))
    return Response(status_code=202)


@router.post("/{snapshot_id}/action", status_code=202)
def act(snapshot_id: str, body: dict[str, Any], caller: VolumeCaller, service: Service) -> Response:
    if len(body) != 1:
        raise ServiceError(400, "The body must name one action.")
    name, given = next(iter(body.items()))
    if name == "os-force_delete":
        service.reserve.freeing(lambda: deleting.delete_snapshot(service, caller, snapshot_id, force=True))
        return Response(status_code=202)
    if name == "os-unmanage":
        raise not_built("Releasing a snapshot without deleting it")
    rules = {
        "os-reset_status": "volume:reset_status",
        "os-update_snapshot_status": "volume_extension:snapshot_admin_actions:update_status",
    }
    if name not in rules:
        raise ServiceError(400, f"There is no such action: {name[:64]}")
    status = given.get("status") if isinstance(given, dict) else None
    with service.db.write() as session:
        row = service.records.snapshot(session, caller, snapshot_id, rules[name], lock=True)
        if not isinstance(status, str) or status not in STATUSES:
            raise invalid_input(f"Must specify a valid status: one of {', '.join(STATUSES)}.")
        row.status, row.updated_at = status, now()
    return Response(status_code=202)
