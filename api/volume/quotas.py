"""Routes of quotas and limits. Source: Block Storage API v3, "Quota sets extension" and "Limits"."""

from typing import Any

from fastapi import APIRouter, Request, Response

from api.common.errors import ServiceError
from api.volume import limits
from api.volume.errors import invalid_input
from api.volume.listing import boolean
from api.volume.schemas import QuotaUpdate
from api.volume.service import Service, VolumeCaller
from infra.tables.volume import Quota

router = APIRouter()


@router.get("/limits")
def show_limits(caller: VolumeCaller, service: Service) -> dict[str, Any]:
    with service.db.read() as session:
        allowed, used = limits.limits(session, caller.project_id), limits.usage(session, caller.project_id)
    absolute = {
        "maxTotalVolumes": allowed["volumes"],
        "maxTotalVolumeGigabytes": allowed["gigabytes"],
        "maxTotalSnapshots": allowed["snapshots"],
        "maxTotalBackups": allowed["backups"],
        "maxTotalBackupGigabytes": allowed["backup_gigabytes"],
        "totalVolumesUsed": used["volumes"],
        "totalGigabytesUsed": used["gigabytes"],
        "totalSnapshotsUsed": used["snapshots"],
        "totalBackupsUsed": 0,
        "totalBackupGigabytesUsed": 0,
    }
    return {"limits": {"rate": [], "absolute": absolute}}


@router.get("/os-quota-sets/{project_id}/defaults")
def defaults(project_id: str, caller: VolumeCaller, service: Service) -> dict[str, Any]:
    service.policy.enforce(caller, "volume_extension:quotas:show", {"project_id": project_id})
    return {"quota_set": {"id": project_id, **limits.DEFAULTS}}


@router.get("/os-quota-sets/{project_id}")
def show(project_id: str, request: Request, caller: VolumeCaller, service: Service) -> dict[str, Any]:
    service.policy.enforce(caller, "volume_extension:quotas:show", {"project_id": project_id})
    with service.db.read() as session:
        allowed = limits.limits(session, project_id)
        if not boolean(request.query_params.get("usage", "false"), "usage"):
            return {"quota_set": {"id": project_id, **allowed}}
        used = limits.usage(session, project_id)
    both = {name: {"limit": allowed[name], "in_use": used[name], "reserved": 0} for name in allowed}
    return {"quota_set": {"id": project_id, **both}}


@router.put("/os-quota-sets/{project_id}")
def update(project_id: str, body: QuotaUpdate, caller: VolumeCaller, service: Service) -> dict[str, Any]:
    service.policy.enforce(caller, "volume_extension:quotas:update")
    wanted = {name: limit(name, value) for name, value in body.quota_set.items() if name not in IGNORED}
    with service.db.write() as session:
        limits.lock_project(session, project_id)
        row = session.get(Quota, project_id)
        assert row is not None
        row.limits = row.limits | wanted
        return {"quota_set": limits.DEFAULTS | row.limits}


@router.delete("/os-quota-sets/{project_id}")
def reset(project_id: str, caller: VolumeCaller, service: Service) -> Response:
    service.policy.enforce(caller, "volume_extension:quotas:update")
    with service.db.write() as session:
        if row := session.get(Quota, project_id, with_for_update=True):
            row.limits = {}
    return Response(status_code=200)


@router.get("/os-quota-class-sets/default")
def class_defaults(caller: VolumeCaller) -> dict[str, Any]:
    return {"quota_class_set": {"id": "default", **limits.DEFAULTS}}


IGNORED = ("tenant_id", "project_id", "id", "skip_validation", "force")


def limit(name: str, value: object) -> int:
    if name not in limits.DEFAULTS:
        raise ServiceError(400, f"Bad key(s) in quota set: {name[:64]}.")
    if isinstance(value, str) and value.lstrip("-").isdigit():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not -1 <= value < 2**31:
        raise invalid_input(f"Quota limit of {name} must be a number; -1 is unlimited.")
    return value
