"""Routes that describe the service: versions, zones, extensions, filters."""

from typing import Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse

from api.common.request_head import public_url
from api.volume import filters
from api.volume.microversion import MAXIMUM, MINIMUM, text
from api.volume.service import Service, VolumeCaller, since
from infra.settings import Settings

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
