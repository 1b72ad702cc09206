"""Routes of volumes. Source: Block Storage API v3, "Volumes (volumes)"."""

from typing import Any

from fastapi import APIRouter, Request, Response

from api.volume import deleting, views
from api.volume.creating import create_volume
from api.volume.listing import Listing, boolean
from api.volume.records import attachments_of
from api.volume.schemas import VolumeCreate, VolumeUpdate
from api.volume.service import Service, Version, VolumeCaller
from infra.tables.volume import Volume, now

router = APIRouter(prefix="/volumes")


@router.post("", status_code=202)
def create(body: VolumeCreate, request: Request, caller: VolumeCaller, service: Service, version: Version) -> Any:
    row = create_volume(service, caller, body.volume, request.state.path_project)
    return {"volume": views.volume(service.settings, row, [], version, caller.is_admin)}


@router.get("")
def index(request: Request, caller: VolumeCaller, service: Service) -> dict[str, Any]:
    with service.db.read() as session:
        listing = Listing(request, caller, service.policy, Volume)
        rows = listing.page(session)
    body: dict[str, Any] = {
        "volumes": [views.volume_summary(service.settings, row) for row in rows if isinstance(row, Volume)]
    }
    if links := listing.links(service.settings, rows):
        body["volumes_links"] = links
    return body


@router.get("/detail")
def detail(request: Request, caller: VolumeCaller, service: Service, version: Version) -> dict[str, Any]:
    with service.db.read() as session:
        listing = Listing(request, caller, service.policy, Volume)
        rows = [row for row in listing.page(session) if isinstance(row, Volume)]
        used = attachments_of(session, *(row.id for row in rows))
    admin = service.policy.allows(caller, "volume:host_attributes")
    body: dict[str, Any] = {"volumes": [views.volume(service.settings, row, used, version, admin) for row in rows]}
    if links := listing.links(service.settings, rows):
        body["volumes_links"] = links
    return body


@router.get("/summary")
def summary(request: Request, caller: VolumeCaller, service: Service, version: Version) -> dict[str, Any]:
    with service.db.read() as session:
        rows = Listing(request, caller, service.policy, Volume).page(session)
    body: dict[str, Any] = {"total_size": sum(row.size for row in rows), "total_count": len(rows)}
    if version >= (3, 36):
        keys = {key for row in rows for key in row.properties}
        found = {key: sorted({row.properties[key] for row in rows if key in row.properties}) for key in keys}
        body["metadata"] = found
    return {"volume-summary": body}


@router.get("/{volume_id}")
def show(volume_id: str, caller: VolumeCaller, service: Service, version: Version) -> dict[str, Any]:
    with service.db.read() as session:
        row = service.records.volume(session, caller, volume_id)
        used = attachments_of(session, row.id)
    admin = service.policy.allows(caller, "volume:host_attributes")
    return {"volume": views.volume(service.settings, row, used, version, admin)}


@router.put("/{volume_id}")
def update(
    volume_id: str, body: VolumeUpdate, caller: VolumeCaller, service: Service, version: Version
) -> dict[str, Any]:
    with service.db.write() as session:
        row = service.records.volume(session, caller, volume_id, "volume:update", lock=True)
        changes = body.volume.model_dump(exclude_unset=True)
        if "metadata" in changes:
            row.properties = changes.pop("metadata") or {}
        for name, value in changes.items():
            setattr(row, name, value)
        row.updated_at = now()
        used = attachments_of(session, row.id)
    admin = service.policy.allows(caller, "volume:host_attributes")
    return {"volume": views.volume(service.settings, row, used, version, admin)}


@router.delete("/{volume_id}", status_code=202)
def delete(volume_id: str, request: Request, caller: VolumeCaller, service: Service) -> Response:
    cascade = boolean(request.query_params.get("cascade", "0"), "cascade")
    force = boolean(request.query_params.get("force", "0"), "force")
    with service.db.write() as session:
        row = service.records.volume(session, caller, volume_id, "volume:delete", lock=True)
        if force:
            service.policy.enforce(caller, "volume:force_delete", {"project_id": row.project_id})
        # A service that undoes a build must not have to wait for the download that it started.
        force = force or (caller.is_service and row.status in ("creating", "downloading"))
        snapshots = deleting.mark_volume(session, row, cascade=cascade, force=force)
    deleting.start(service, volume_id, snapshots)
    return Response(status_code=202)
