"""Routes that describe the service: versions, zones, extensions, filters, messages."""

import uuid
from typing import Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse
from sqlmodel import col, select

from api.common.errors import ServiceError
from api.common.request_head import public_url
from api.volume import filters
from api.volume.listing import number
from api.volume.microversion import MAXIMUM, MINIMUM, text
from api.volume.service import Service, VolumeCaller, VolumeService, since
from api.volume.views import links, moment
from infra.settings import Settings
from infra.tables.volume import Volume

root = APIRouter()
router = APIRouter()


def versions(settings: Settings) -> dict[str, Any]:
    return {
        "versions": [
            {
                "id": "v3.0",
                "status": "CURRENT",
                "version": text(MAXIMUM),
                "min_version": text(MINIMUM),
                "updated": "2023-08-31T00:00:00Z",
                "links": [{"rel": "self", "href": public_url("/v3/")}],
                "media-types": [
                    {"base": "application/json", "type": "application/vnd.openstack.volume+json;version=3"}
                ],
            }
        ]
    }


@root.get("/")
def all_versions(service: Service) -> JSONResponse:
    return JSONResponse(versions(service.settings), status_code=300)


@root.get("/v3")
@root.get("/v3/")
def version(service: Service) -> dict[str, Any]:
    return versions(service.settings)


@router.get("/os-availability-zone")
def zones(caller: VolumeCaller, service: Service) -> dict[str, Any]:
    zone = {"zoneName": service.settings.availability_zone, "zoneState": {"available": True}}
    return {"availabilityZoneInfo": [zone]}


@router.get("/extensions")
def extensions(caller: VolumeCaller) -> dict[str, Any]:
    names = {
        "os-quota-sets": "Quotas",
        "os-services": "Services",
        "os-types-manage": "TypesManage",
        "os-types-extra-specs": "TypesExtraSpecs",
        "os-volume-type-access": "VolumeTypeAccess",
        "os-volume-transfer": "VolumeTransfer",
        "os-availability-zone": "AvailabilityZones",
        "os-volume-actions": "VolumeActions",
        "scheduler-stats": "Scheduler_stats",
    }
    found = [
        {"alias": alias, "name": name, "description": name, "updated": "2023-08-31T00:00:00+00:00", "links": []}
        for alias, name in names.items()
    ]
    return {"extensions": found}


@router.get("/resource_filters", dependencies=[Depends(since(3, 33))])
def resource_filters(request: Request, caller: VolumeCaller) -> dict[str, Any]:
    """What may be asked of each list (since 3.33); `x~` since 3.34."""
    wanted = request.query_params.get("resource")
    found = [
        {"resource": resource, "filters": list(names)}
        for resource, names in filters.RESOURCES.items()
        if wanted in (None, resource)
    ]
    return {"resource_filters": found}


def message(service: VolumeService, row: Volume) -> dict[str, Any]:
    """What went wrong with a volume last. Source: Block Storage API v3, "User messages" (since 3.3)."""
    message_id = str(uuid.uuid5(uuid.UUID(row.id), "fault"))
    return {
        "id": message_id,
        "event_id": "VOLUME_VOLUME_001_001",
        "message_level": "ERROR",
        "request_id": None,
        "resource_type": "VOLUME",
        "resource_uuid": row.id,
        "user_message": row.fault,
        "created_at": moment(row.updated_at),
        "guaranteed_until": None,
        "links": links(service.settings, "messages", message_id),
    }


def messages_of(service: VolumeService, project_id: str) -> list[dict[str, Any]]:
    query = select(Volume).where(Volume.project_id == project_id, col(Volume.fault).is_not(None))
    with service.db.read() as session:
        return [message(service, row) for row in session.exec(query.order_by(col(Volume.id))).all()]


@router.get("/messages", dependencies=[Depends(since(3, 3))])
def messages(request: Request, caller: VolumeCaller, service: Service) -> dict[str, Any]:
    asked = {name: request.query_params[name] for name in filters.RESOURCES["message"] if name in request.query_params}
    found = messages_of(service, caller.project_id)
    found = [m for m in found if all(m[name] == value for name, value in asked.items())]
    offset = number(request.query_params.get("offset"), "offset", 0)
    limit = number(request.query_params.get("limit"), "limit", 1000)
    return {"messages": found[offset : offset + min(limit, 1000)]}


@router.get("/messages/{message_id}", dependencies=[Depends(since(3, 3))])
def show_message(message_id: str, caller: VolumeCaller, service: Service) -> dict[str, Any]:
    for found in messages_of(service, caller.project_id):
        if found["id"] == message_id:
            return {"message": found}
    raise ServiceError(404, f"Message {message_id[:64]} could not be found.")


@router.delete("/messages/{message_id}", status_code=204, dependencies=[Depends(since(3, 3))])
def delete_message(message_id: str, caller: VolumeCaller, service: Service) -> Response:
    """The volume keeps its status; only the words about it go."""
    service.policy.enforce(caller, "message:delete")
    with service.db.write() as session:
        query = select(Volume).where(Volume.project_id == caller.project_id, col(Volume.fault).is_not(None))
        for row in session.exec(query).all():
            if message(service, row)["id"] == message_id:
                row.fault = None
                return Response(status_code=204)
    raise ServiceError(404, f"Message {message_id[:64]} could not be found.")
