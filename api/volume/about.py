"""Routes that describe the service: versions, types, zones, extensions, services, pools, messages."""

import os
import uuid
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from sqlmodel import col, select

from api.common.errors import ServiceError
from api.volume.microversion import MAXIMUM, MINIMUM, text
from api.volume.service import TYPE_ID, TYPE_NAME, Service, VolumeCaller, VolumeService
from api.volume.views import moment
from infra.nbd import QmpUnreachable
from infra.settings import Settings
from infra.tables.volume import Volume, now

root = APIRouter()
router = APIRouter()
TYPE = {
    "id": TYPE_ID,
    "name": TYPE_NAME,
    "description": "Sparse raw files, reached over NBD",
    "is_public": True,
    "os-volume-type-access:is_public": True,
    "extra_specs": {},
    "qos_specs_id": None,
}


def versions(settings: Settings) -> dict[str, Any]:
    return {
        "versions": [
            {
                "id": "v3.0",
                "status": "CURRENT",
                "version": text(MAXIMUM),
                "min_version": text(MINIMUM),
                "updated": "2023-08-31T00:00:00Z",
                "links": [{"rel": "self", "href": settings.url("volume", "/v3/")}],
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


@router.get("/types")
def types(caller: VolumeCaller) -> dict[str, Any]:
    return {"volume_types": [TYPE]}


@router.get("/types/{type_id}")
def show_type(type_id: str, caller: VolumeCaller) -> dict[str, Any]:
    if type_id not in (TYPE_ID, "default"):
        raise ServiceError(404, f"Volume type {type_id[:64]} could not be found.")
    return {"volume_type": TYPE}


@router.get("/types/{type_id}/extra_specs")
def extra_specs(type_id: str, caller: VolumeCaller) -> dict[str, Any]:
    show_type(type_id, caller)
    return {"extra_specs": {}}


@router.get("/os-availability-zone")
def zones(caller: VolumeCaller, service: Service) -> dict[str, Any]:
    zone = {"zoneName": service.settings.availability_zone, "zoneState": {"available": True}}
    return {"availabilityZoneInfo": [zone]}


@router.get("/extensions")
def extensions(caller: VolumeCaller) -> dict[str, Any]:
    names = {
        "os-quota-sets": "Quotas",
        "os-services": "Services",
        "os-availability-zone": "AvailabilityZones",
        "os-volume-actions": "VolumeActions",
        "scheduler-stats": "Scheduler_stats",
    }
    found = [
        {"alias": alias, "name": name, "description": name, "updated": "2023-08-31T00:00:00+00:00", "links": []}
        for alias, name in names.items()
    ]
    return {"extensions": found}


def daemon_answers(service: VolumeService) -> bool:
    try:
        service.daemon.exports()
    except QmpUnreachable:
        return False
    return True


@router.get("/os-services")
def services(request: Request, caller: VolumeCaller, service: Service) -> dict[str, Any]:
    """One service; `up` while its storage daemon answers."""
    service.policy.enforce(caller, "volume_extension:services:index")
    found = {
        "binary": "cinder-volume",
        "host": f"{service.settings.host}@nbd",
        "zone": service.settings.availability_zone,
        "status": "enabled",
        "state": "up" if daemon_answers(service) else "down",
        "updated_at": moment(now()),
        "disabled_reason": None,
        "replication_status": "disabled",
        "active_backend_id": None,
        "frozen": False,
    }
    wanted = request.query_params
    matches = all(found[key] == wanted[key] for key in ("binary", "host") if key in wanted)
    return {"services": [found] if matches else []}


@router.get("/scheduler-stats/get_pools")
def pools(caller: VolumeCaller, service: Service) -> dict[str, Any]:
    """Free room, in GiB, of the file system that holds the volumes."""
    service.policy.enforce(caller, "scheduler_extension:scheduler_stats:get_pools")
    disk = os.statvfs(service.files.root)
    with service.db.read() as session:
        allocated = sum(session.exec(select(Volume.size)).all())
    capabilities = {
        "total_capacity_gb": round(disk.f_blocks * disk.f_frsize / 2**30, 2),
        "free_capacity_gb": round(disk.f_bavail * disk.f_frsize / 2**30, 2),
        "allocated_capacity_gb": allocated,
        "volume_backend_name": TYPE_NAME,
        "storage_protocol": TYPE_NAME,
        "vendor_name": "Kilonova",
        "thin_provisioning_support": True,
    }
    return {"pools": [{"name": f"{service.settings.host}@nbd#nbd", "capabilities": capabilities}]}


def message(row: Volume) -> dict[str, Any]:
    """Why a volume is in error. Source: Block Storage API v3, "User messages" (since 3.3)."""
    return {
        "id": str(uuid.uuid5(uuid.UUID(row.id), "fault")),
        "event_id": "VOLUME_VOLUME_001_001",
        "message_level": "ERROR",
        "request_id": None,
        "resource_type": "VOLUME",
        "resource_uuid": row.id,
        "user_message": row.fault,
        "created_at": moment(row.updated_at),
        "guaranteed_until": None,
        "links": [],
    }


def messages_of(service: VolumeService, project_id: str) -> list[dict[str, Any]]:
    query = select(Volume).where(Volume.project_id == project_id, col(Volume.fault).is_not(None))
    with service.db.read() as session:
        return [message(row) for row in session.exec(query.order_by(col(Volume.id))).all()]


@router.get("/messages")
def messages(request: Request, caller: VolumeCaller, service: Service) -> dict[str, Any]:
    wanted = request.query_params.get("resource_uuid")
    found = messages_of(service, caller.project_id)
    return {"messages": [m for m in found if wanted in (None, m["resource_uuid"])]}


@router.get("/messages/{message_id}")
def show_message(message_id: str, caller: VolumeCaller, service: Service) -> dict[str, Any]:
    for found in messages_of(service, caller.project_id):
        if found["id"] == message_id:
            return {"message": found}
    raise ServiceError(404, f"Message {message_id[:64]} could not be found.")
