"""Limits of projects (Compute API reference, "Quota sets" and "Limits")."""

import re
from typing import Any

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse

from api.compute.call import Body, Call, ComputeCall
from api.compute.errors import bad_request, not_implemented
from api.compute.neighbours import neighbours
from api.compute.records import quotas
from api.compute.schemas.services import QuotaClassUpdate, QuotaUpdate
from api.compute.validation import check_query, parse
from infra.stores import usage

router = APIRouter()
RULE, CLASS_RULE = "os_compute_api:os-quota-sets:", "os_compute_api:os-quota-class-sets:"
LIMITS = {
    "ram": ("maxTotalRAMSize",),
    "instances": ("maxTotalInstances",),
    "cores": ("maxTotalCores",),
    "key_pairs": ("maxTotalKeypairs",),
    "floating_ips": ("maxTotalFloatingIps",),
    "metadata_items": ("maxServerMeta", "maxImageMeta"),
    "injected_files": ("maxPersonality",),
    "injected_file_content_bytes": ("maxPersonalitySize",),
    "security_groups": ("maxSecurityGroups",),
    "security_group_rules": ("maxSecurityGroupRules",),
    "server_groups": ("maxServerGroups",),
    "server_group_members": ("maxServerGroupMembers",),
}
USED = {
    "ram": "totalRAMUsed",
    "cores": "totalCoresUsed",
    "instances": "totalInstancesUsed",
    "floating_ips": "totalFloatingIpsUsed",
    "security_groups": "totalSecurityGroupsUsed",
    "server_groups": "totalServerGroupsUsed",
}


def require_project(call: ComputeCall, project_id: str) -> None:
    """400 for a project that identity does not know."""
    if project_id != call.context.project_id:
        if not re.fullmatch(r"[A-Za-z0-9-]{1,64}", project_id):
            raise bad_request(f"Project ID {project_id[:64]} is not a valid project.")
        if neighbours(call).get(call, "identity", f"/projects/{project_id}", good=bool) is None:
            raise bad_request(f"Project ID {project_id} is not a valid project.")


def _set(call: ComputeCall, values: dict[str, Any], project_id: str = "") -> Response:
    shown = {name: values[name] for name in quotas.shown(call.version) if name in values}
    return JSONResponse({"quota_set": ({"id": project_id} if project_id else {}) | shown})


@router.get("/os-quota-sets/{project_id}")
def show_quotas(call: Call, project_id: str) -> Response:
    """A project's limits."""
    check_query(call, "user_id", "usage")
    call.enforce(RULE + "show", project_id=project_id)
    require_project(call, project_id)
    with call.db.read() as session:
        return _set(call, quotas.limits(session, project_id), project_id)


@router.get("/os-quota-sets/{project_id}/detail")
def show_quotas_detail(call: Call, project_id: str) -> Response:
    """A project's limits with what is in use."""
    check_query(call, "user_id")
    call.enforce(RULE + "detail", project_id=project_id)
    require_project(call, project_id)
    with call.db.read() as session:
        limits, used = quotas.limits(session, project_id), usage.used(session, project_id)
    values = {name: {"limit": limit, "in_use": used.get(name, 0), "reserved": 0} for name, limit in limits.items()}
    return _set(call, values, project_id)


@router.get("/os-quota-sets/{project_id}/defaults")
def show_default_quotas(call: Call, project_id: str) -> Response:
    """Limits of a project for which nothing was set."""
    call.enforce(RULE + "defaults")
    require_project(call, project_id)
    with call.db.read() as session:
        return _set(call, quotas.defaults(session), project_id)


@router.put("/os-quota-sets/{project_id}")
def update_quotas(call: Call, project_id: str, body: Body) -> Response:
    """Set limits; below what is in use only with `force`."""
    check_query(call, "user_id")
    call.enforce(RULE + "update", project_id=project_id)
    wish = parse(call, QuotaUpdate, body, "quota_set")
    if wish.networks is not None:
        raise bad_request("The networks quota has been removed")
    require_project(call, project_id)
    values = {name: limit for name, limit in wish.model_dump(exclude={"force"}).items() if limit is not None}
    with call.db.write() as session:
        used = usage.used(session, project_id)
        for name, limit in values.items():
            if 0 <= limit < used.get(name, 0) and not wish.force:
                raise bad_request(
                    f"Quota limit {limit} for {name} must be greater than or equal to already used and reserved "
                    f"{used[name]}."
                )
        quotas.store(session, project_id, values)
        session.flush()
        return _set(call, quotas.limits(session, project_id))


@router.delete("/os-quota-sets/{project_id}", status_code=202)
def delete_quotas(call: Call, project_id: str) -> Response:
    """Back to the defaults."""
    check_query(call, "user_id")
    call.enforce(RULE + "delete", project_id=project_id)
    with call.db.write() as session:
        quotas.reset(session, project_id)
    return Response(status_code=202)


@router.get("/os-quota-class-sets/{class_name}")
def show_quota_class(call: Call, class_name: str) -> Response:
    """Limits of projects for which nothing was set, which are the class `default`; no other class is used."""
    check_query(call)
    call.enforce(CLASS_RULE + "show", quota_class=class_name)
    with call.db.read() as session:
        known = quotas.defaults(session)
    shown = {name: known[name] for name in quotas.shown_of_class(call.version)}
    return JSONResponse({"quota_class_set": {"id": class_name} | shown})


@router.put("/os-quota-class-sets/{class_name}")
def update_quota_class(call: Call, class_name: str, body: Body) -> Response:
    """Set the limits of projects for which nothing was set; 501 for a class that nobody would use."""
    check_query(call)
    call.enforce(CLASS_RULE + "update", quota_class=class_name)
    wish = parse(call, QuotaClassUpdate, body, "quota_class_set")
    if class_name != "default":
        raise not_implemented("No quota class but 'default' is used.")
    values = {name: limit for name, limit in wish.model_dump().items() if limit is not None}
    with call.db.write() as session:
        quotas.store(session, quotas.DEFAULT_CLASS, values)
        session.flush()
        known = quotas.defaults(session)
    return JSONResponse({"quota_class_set": {name: known[name] for name in quotas.shown_of_class(call.version)}})


@router.get("/limits")
def show_limits(call: Call) -> Response:
    """The project's limits and what is used of them, in one flat object."""
    check_query(call, "tenant_id")
    call.enforce("os_compute_api:limits")
    project_id = call.query.get("tenant_id", call.context.project_id)
    if project_id != call.context.project_id:
        call.enforce("os_compute_api:limits:other_project")
    with call.db.read() as session:
        limits, used = quotas.limits(session, project_id), usage.used(session, project_id)
    shown = quotas.shown(call.version)
    absolute = {
        name: limits[resource]
        for resource, names in LIMITS.items()
        if resource in shown
        for name in names
        if name != "maxImageMeta" or not call.since(39)
    }
    absolute |= {name: used.get(resource, 0) for resource, name in USED.items() if resource in shown}
    return JSONResponse({"limits": {"rate": [], "absolute": absolute}})
