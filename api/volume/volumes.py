"""Routes of volumes. Source: Block Storage API v3, "Volumes (volumes)"."""

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from api.common.context import Context
from api.common.errors import ServiceError
from api.volume import deleting, views
from api.volume.creating import create_volume
from api.volume.listing import Listing, boolean
from api.volume.microversion import Version as Microversion
from api.volume.records import attachments_of
from api.volume.schemas import VolumeCreate, VolumeUpdate
from api.volume.service import Service, Version, VolumeCaller, VolumeService
from infra.tables.volume import Volume, now

router = APIRouter(prefix="/volumes")


def look(service: VolumeService, caller: Context, version: Microversion) -> views.Look:
    admin = service.policy.allows(caller, "volume:host_attributes")
    return views.Look(service.settings, version, caller, admin)


@router.post("", status_code=202)
def create(body: VolumeCreate, request: Request, caller: VolumeCaller, service: Service, version: Version) -> Any:
    if version >= (3, 53) and (strange := body.volume.model_extra):
        words = f"Additional properties are not allowed ('{next(iter(strange))[:64]}' was unexpected)"
        raise ServiceError(400, f"Invalid input for field/attribute volume. {words}")
    row = create_volume(service, caller, body.volume, request.state.path_project, version)
    return {"volume": views.new_volume(look(service, caller, version), row, [])}


@router.get("")
def index(request: Request, caller: VolumeCaller, service: Service) -> dict[str, Any]:
    with service.db.read() as session:
        listing = Listing(request, caller, service.policy, Volume)
        rows = listing.page(session)
    summaries = [views.volume_summary(service.settings, row) for row in rows if isinstance(row, Volume)]
    return listing.envelope(service.settings, "volumes", summaries)


@router.get("/detail")
def detail(request: Request, caller: VolumeCaller, service: Service, version: Version) -> dict[str, Any]:
    with service.db.read() as session:
        listing = Listing(request, caller, service.policy, Volume)
        rows = [row for row in listing.page(session) if isinstance(row, Volume)]
        used = attachments_of(session, *(row.id for row in rows))
    seen = look(service, caller, version)
    return listing.envelope(service.settings, "volumes", [views.volume(seen, row, used) for row in rows])


@router.get("/summary")
def summary(request: Request, caller: VolumeCaller, service: Service, version: Version) -> dict[str, Any]:
    """Since 3.12; since 3.36 also the distinct metadata."""
    if version < (3, 12):
        raise ServiceError(404, "The resource could not be found.")
    with service.db.read() as session:
        total, gibs, properties = Listing(request, caller, service.policy, Volume).totals(session)
    body: dict[str, Any] = {"total_size": gibs, "total_count": total}
    if version >= (3, 36):
        body["metadata"] = {key: sorted(values) for key, values in properties.items()}
    return {"volume-summary": body}


@router.get("/{volume_id}")
def show(volume_id: str, caller: VolumeCaller, service: Service, version: Version) -> Response:
    """Show one."""
    # Written in the thread that read it: FastAPI would take a second turn of threads for that.
    with service.db.look() as store:
        row, used = service.records.look(store, caller, volume_id)
    return JSONResponse({"volume": views.volume(look(service, caller, version), row, used)})


@router.get("/{volume_id}/encryption")
def encryption(volume_id: str, caller: VolumeCaller, service: Service) -> dict[str, Any]:
    """No volume is encrypted by this service."""
    with service.db.read() as session:
        service.records.volume(session, caller, volume_id)
    return {"encryption_key_id": None}


@router.put("/{volume_id}")
def update(
    volume_id: str, body: VolumeUpdate, caller: VolumeCaller, service: Service, version: Version
) -> dict[str, Any]:
    changes = body.volume.values()
    if version >= (3, 53) and not changes:
        raise ServiceError(400, "Invalid input for field/attribute volume. Nothing to change is named.")
    with service.db.write() as session:
        row = service.records.volume(session, caller, volume_id, "volume:update", lock=True)
        if "metadata" in changes:
            row.properties = changes.pop("metadata") or {}
        for name, value in changes.items():
            setattr(row, name, value)
        row.updated_at = now()
        used = attachments_of(session, row.id)
    return {"volume": views.new_volume(look(service, caller, version), row, used)}


@router.delete("/{volume_id}", status_code=202)
def delete(volume_id: str, request: Request, caller: VolumeCaller, service: Service, version: Version) -> Response:
    """`force` since 3.23."""
    cascade = boolean(request.query_params.get("cascade") or "0", "cascade")
    force = version >= (3, 23) and boolean(request.query_params.get("force") or "0", "force")
    service.reserve.freeing(lambda: deleting.delete_volume(service, caller, volume_id, cascade=cascade, force=force))
    return Response(status_code=202)
