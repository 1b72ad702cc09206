"""Routes of quotas and limits. Source: Block Storage API v3, "Quota sets extension", "Quota class set", "Limits"."""

from typing import Any

from fastapi import APIRouter, Request, Response
from sqlmodel import Session

from api.common.errors import ServiceError
from api.volume import limits
from api.volume.errors import invalid_input
from api.volume.listing import boolean, whole
from api.volume.schemas import QuotaClassUpdate, QuotaUpdate
from api.volume.service import Service, VolumeCaller
from infra.tables.volume import Quota

router = APIRouter()
IGNORED = ("tenant_id", "skip_validation")
"""Keys of a PUT that are no limits. `skip_validation` false asks for the check against what is used."""


@router.get("/limits")
def show_limits(request: Request, caller: VolumeCaller, service: Service) -> dict[str, Any]:
    """`project_id`, or `tenant_id`: another project's limits, for administrators (since 3.39); else passed over."""
    project, asked = caller.project_id, request.query_params
    if request.state.version >= (3, 39) and caller.is_admin:
        project = asked.get("project_id", asked.get("tenant_id", project))
    with service.db.read() as session:
        allowed, used = limits.limits(session, project), limits.usage(session, project)
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
    with service.db.read() as session:
        return {"quota_set": {"id": project_id, **limits.defaults(session)}}


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
    """A limit below what is used is refused unless `skip_validation` (the default) is true."""
    service.policy.enforce(caller, "volume_extension:quotas:update", {"project_id": project_id})
    if len(project_id) > 64:
        raise invalid_input("quota_set_name has more than 64 characters.")
    unchecked = boolean(str(body.quota_set.get("skip_validation", True)), "skip_validation")
    with service.db.write() as session:
        wanted = _limits(session, body.quota_set)
        limits.lock_project(session, project_id)
        row = session.get(Quota, project_id)
        assert row is not None
        if not unchecked:
            _refuse_below(wanted, limits.usage(session, project_id))
        row.limits = row.limits | wanted
        session.flush()
        return {"quota_set": limits.limits(session, project_id)}


def _limits(session: Session, given: dict[str, Any]) -> dict[str, int]:
    known = limits.defaults(session)
    if bad := [name[:64] for name in given if name not in known and name not in IGNORED]:
        raise invalid_input(f"Bad key(s) in quota set: {', '.join(bad[:10])}")
    return {name: limit(name, value) for name, value in given.items() if name not in IGNORED}


def _refuse_below(wanted: dict[str, int], used: dict[str, int]) -> None:
    for name, value in wanted.items():
        if name != "per_volume_gigabytes" and 0 <= value < used[name]:
            raise ServiceError(
                400,
                f"Quota {name} limit must be equal or greater than existing resources. Current usage is {used[name]} "
                f"and the requested limit is {value}.",
            )


@router.delete("/os-quota-sets/{project_id}")
def reset(project_id: str, caller: VolumeCaller, service: Service) -> Response:
    service.policy.enforce(caller, "volume_extension:quotas:update", {"project_id": project_id})
    with service.db.write() as session:
        if row := session.get(Quota, project_id, with_for_update=True):
            row.limits = {}
    return Response(status_code=200)


@router.get("/os-quota-class-sets/{name}")
def class_defaults(name: str, caller: VolumeCaller, service: Service) -> dict[str, Any]:
    service.policy.enforce(caller, "volume_extension:quota_classes")
    with service.db.read() as session:
        return {"quota_class_set": {"id": name, **limits.defaults(session)}}


@router.put("/os-quota-class-sets/{name}")
def update_class(name: str, body: QuotaClassUpdate, caller: VolumeCaller, service: Service) -> dict[str, Any]:
    """Set the limits of projects for which nothing was set; 501 for a class that nobody would use."""
    service.policy.enforce(caller, "volume_extension:quota_classes")
    if name != "default":
        raise ServiceError(501, "No quota class but 'default' is used.")
    with service.db.write() as session:
        wanted = _limits(session, body.quota_class_set)
        limits.lock_project(session, limits.DEFAULT_CLASS)
        row = session.get(Quota, limits.DEFAULT_CLASS)
        assert row is not None
        row.limits = row.limits | wanted
        session.flush()
        return {"quota_class_set": limits.defaults(session)}


def limit(name: str, value: object) -> int:
    number = whole(value)
    if number is None or not -1 <= number <= limits.MAXIMUM:
        raise invalid_input(f"{name} must be an integer between -1 and {limits.MAXIMUM}.")
    return number
