"""Routes of quotas."""

from typing import Any

from fastapi import APIRouter

from api.common.errors import ServiceError
from api.network.ask import Ask, JsonBody
from api.network.errors import bad, typed
from api.network.model import quotas
from api.network.routes.answers import json

router = APIRouter(prefix="/v2.0/quotas")
CONTROLS = ("tenant_id", "project_id", "force", "check_limit")


@router.get("")
def list_quotas(ask: Ask) -> Any:
    """Projects that have limits of their own."""
    if not ask.allows("list_quotas", ask.project_id):
        words = "User does not have admin privileges: Only admin can view or configure quota"
        raise typed(403, "AdminRequired", words)
    with ask.store.read() as session:
        known = quotas.projects(session)
        return json({"quotas": [_named(project) | quotas.limits(session, project) for project in known]})


def _named(project_id: str) -> dict[str, Any]:
    return {"project_id": project_id, "tenant_id": project_id}


@router.get("/tenant")
def whose_quota(ask: Ask) -> Any:
    """The caller's project, for clients that do not know it."""
    return json({"tenant": {"tenant_id": ask.project_id}})


@router.get("/project")
def which_project(ask: Ask) -> Any:
    """The caller's project, for clients that do not know it."""
    return json({"project": {"project_id": ask.project_id}})


@router.get("/{project_id}")
def show_quota(ask: Ask, project_id: str) -> Any:
    """A project's limits."""
    ask.enforce("get_quota", project_id)
    with ask.store.read() as session:
        return json({"quota": quotas.limits(session, project_id)})


@router.get("/{project_id}/default")
def show_default_quota(ask: Ask, project_id: str) -> Any:
    """Limits of a project for which nothing was set."""
    ask.enforce("get_quota", project_id)
    return json({"quota": quotas.DEFAULTS})


@router.get("/{project_id}/details")
def show_quota_details(ask: Ask, project_id: str) -> Any:
    """A project's limits with what is in use."""
    ask.enforce("get_quota", project_id)
    with ask.store.read() as session:
        return json({"quota": quotas.details(session, project_id)})


@router.put("/{project_id}")
def update_quota(ask: Ask, project_id: str, body: JsonBody) -> Any:
    """Set limits; below what is in use only with `force`."""
    ask.enforce("update_quota", project_id)
    wanted, force = _limits(body)
    with ask.store.write() as session:
        quotas.change(session, project_id, wanted, force=force)
        session.flush()
        return json({"quota": quotas.limits(session, project_id)})


def _limits(body: dict[str, Any]) -> tuple[dict[str, int], bool]:
    """Limits, and whether they may be below what is in use; `check_limit` asks for what is done anyway."""
    given = body.get("quota")
    if not isinstance(given, dict):
        raise bad("Unable to find 'quota' in request body")
    force = _flag(given, "force")
    _flag(given, "check_limit")
    given = {name: value for name, value in given.items() if name not in CONTROLS}
    for name, value in given.items():
        if name not in quotas.DEFAULTS:
            raise bad(f"Unrecognized attribute(s) '{name}'")
        if isinstance(value, bool) or not isinstance(value, int) or not -1 <= value <= 2**31 - 1:
            raise bad(f"Invalid input for {name}. Reason: it must be an integer from -1 to {2**31 - 1}.")
    return given, force


def _flag(given: dict[str, Any], name: str) -> bool:
    value = given.get(name, False)
    if not isinstance(value, bool):
        raise bad(f"Invalid input for {name}. Reason: '{value}' cannot be converted to boolean.")
    return value


@router.delete("/{project_id}", status_code=204)
def delete_quota(ask: Ask, project_id: str) -> None:
    """Back to the defaults."""
    ask.enforce("delete_quota", project_id)
    with ask.store.write() as session:
        if not quotas.reset(session, project_id):
            words = f"Quota for tenant {project_id} could not be found."
            raise ServiceError(404, words, title="TenantQuotaNotFound")
