"""Routes of snapshots. Source: Block Storage API v3, "Volume snapshots (snapshots)"."""

import uuid
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from api.common.errors import ServiceError
from api.volume import limits, views
from api.volume.deleting import mark_snapshot
from api.volume.errors import exists, invalid_input, invalid_volume, not_built
from api.volume.listing import Listing, boolean
from api.volume.schemas import NewSnapshot, SnapshotCreate, SnapshotUpdate
from api.volume.service import Service, Version, VolumeCaller
from infra.tables.volume import Snapshot, now

router = APIRouter(prefix="/snapshots")
STATUSES = ("available", "error", "error_deleting")


def allowed_states(wanted: NewSnapshot, version: tuple[int, int]) -> tuple[str, ...]:
    """A volume in use needs `force` before 3.66; since then its snapshot is always allowed."""
    force = version >= (3, 66) or boolean(str(wanted.force or False), "force")
    return ("available", "in-use") if force else ("available",)


@router.post("", status_code=202)
def create(body: SnapshotCreate, caller: VolumeCaller, service: Service, version: Version) -> dict[str, Any]:
    wanted = body.snapshot
    if wanted.id:
        service.policy.enforce(caller, "volume:create_for_project")
    with service.db.write() as session:
        volume = service.records.volume(session, caller, wanted.volume_id, "volume:create_snapshot", lock=True)
        if wanted.id and session.get(Snapshot, wanted.id):
            raise exists("Snapshot", wanted.id)
        states = allowed_states(wanted, version)
        if volume.status not in states:
            raise invalid_volume(
                f"Volume {volume.id} status must be {' or '.join(states)}, but current status is: {volume.status}."
            )
        limits.check(session, volume.project_id, "snapshots", volume.size)
        row = Snapshot(
            id=wanted.id or str(uuid.uuid4()),
            volume_id=volume.id,
            project_id=volume.project_id,
            user_id=caller.user_id,
            name=wanted.name,
            description=wanted.description,
            size=volume.size,
            bootable=volume.bootable,
            properties=wanted.metadata or {},
            image_metadata=volume.image_metadata,
        )
        session.add(row)
    service.jobs.submit("snapshot", row.id, slow=True)
    return {"snapshot": views.snapshot(row, version)}


@router.get("")
def index(request: Request, caller: VolumeCaller, service: Service, version: Version) -> dict[str, Any]:
    return listing(request, caller, service, version)


@router.get("/detail")
def listing(request: Request, caller: VolumeCaller, service: Service, version: Version) -> dict[str, Any]:
    with service.db.read() as session:
        found = Listing(request, caller, service.policy, Snapshot)
        rows = [row for row in found.page(session) if isinstance(row, Snapshot)]
    body: dict[str, Any] = {"snapshots": [views.snapshot(row, version) for row in rows]}
    if links := found.links(service.settings, rows):
        body["snapshots_links"] = links
    return body


@router.get("/{snapshot_id}")
def show(snapshot_id: str, caller: VolumeCaller, service: Service, version: Version) -> dict[str, Any]:
    with service.db.read() as session:
        return {"snapshot": views.snapshot(service.records.snapshot(session, caller, snapshot_id), version)}


@router.put("/{snapshot_id}")
def update(
    snapshot_id: str, body: SnapshotUpdate, caller: VolumeCaller, service: Service, version: Version
) -> dict[str, Any]:
    with service.db.write() as session:
        row = service.records.snapshot(session, caller, snapshot_id, "volume:update_snapshot", lock=True)
        for name, value in body.snapshot.model_dump(exclude_unset=True, exclude={"metadata"}).items():
            setattr(row, name, value)
        row.updated_at = now()
    return {"snapshot": views.snapshot(row, version)}


@router.delete("/{snapshot_id}", status_code=202)
def delete(snapshot_id: str, caller: VolumeCaller, service: Service) -> Response:
    return remove(snapshot_id, caller, service, force=False)


@router.post("/{snapshot_id}/action")
def act(snapshot_id: str, body: dict[str, Any], caller: VolumeCaller, service: Service) -> Response:
    if len(body) != 1:
        raise ServiceError(400, "The body must name one action.")
    name, given = next(iter(body.items()))
    if name == "os-force_delete":
        return remove(snapshot_id, caller, service, force=True)
    if name in ("os-update_snapshot_status", "os-unmanage"):
        raise not_built(f"The action {name}")
    if name != "os-reset_status":
        raise ServiceError(400, f"There is no such action: {name[:64]}")
    status = given.get("status") if isinstance(given, dict) else None
    if status not in STATUSES:
        raise invalid_input(f"Must specify a valid status: one of {', '.join(STATUSES)}.")
    with service.db.write() as session:
        row = service.records.snapshot(session, caller, snapshot_id, "volume:reset_status", lock=True)
        row.status, row.updated_at = status, now()
    return JSONResponse({}, status_code=202)


def remove(snapshot_id: str, caller: VolumeCaller, service: Service, *, force: bool) -> Response:
    with service.db.write() as session:
        rule = "volume:force_delete" if force else "volume:delete_snapshot"
        row = service.records.snapshot(session, caller, snapshot_id, rule, lock=True)
        mark_snapshot(session, row, force=force)
    service.work.doom(snapshot_id)
    service.jobs.submit("snapshot", snapshot_id)
    return Response(status_code=202)
