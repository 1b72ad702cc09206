"""RBAC policies: what they look like, making, changing and deleting them."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, or_
from sqlmodel import Session, col, select

from api.network.ask import Asker
from api.network.errors import bad, conflict, invalid, typed
from api.network.model import quotas, shares
from api.network.model.kinds import Kind, View, text
from api.network.schemas.rbac import RbacPolicyCreate, RbacPolicyUpdate
from infra.tables.network import Network, RbacPolicy


def _visible(project_id: str) -> ColumnElement[bool]:
    return or_(col(RbacPolicy.project_id) == project_id, col(RbacPolicy.target_project) == project_id)


def _render(_session: Session, rows: Sequence[RbacPolicy], _view: View) -> list[dict[str, Any]]:
    return [
        {
            "id": row.id,
            "project_id": row.project_id,
            "tenant_id": row.project_id,
            "object_type": row.object_type,
            "object_id": row.object_id,
            "action": row.action,
            "target_tenant": row.target_project,
            "target_project": row.target_project,
        }
        for row in rows
    ]


FILTERS = {
    "id": text(RbacPolicy.id),
    "project_id": text(RbacPolicy.project_id),
    "tenant_id": text(RbacPolicy.project_id),
    "object_type": text(RbacPolicy.object_type),
    "object_id": text(RbacPolicy.object_id),
    "action": text(RbacPolicy.action),
    "target_tenant": text(RbacPolicy.target_project),
    "target_project": text(RbacPolicy.target_project),
}
RBAC_POLICIES = Kind(
    member="rbac_policy",
    collection="rbac_policies",
    table=RbacPolicy,
    missing=("RbacPolicyNotFound", "RBAC policy of type unknown with ID {} not found"),
    visible=_visible,
    render=_render,
    filters=FILTERS,
    sortable={name: getattr(RbacPolicy, name) for name in ("id", "project_id", "object_type", "object_id", "action")},
    taggable=False,
)


def create(session: Session, ask: Asker, body: RbacPolicyCreate, _given: list[str]) -> RbacPolicy:
    """400 for an unknown type or action, or an object of another project; 409 for a policy that exists."""
    project_id = ask.owner(body.project_id, body.tenant_id)
    ask.enforce("create_rbac_policy", project_id)
    _check_wildcard(ask, "create", body.target, project_id)
    kind = body.object_type.strip().lower()
    if kind not in shares.TYPES:
        raise invalid(f"'{body.object_type}' is not a valid RBAC object type")
    actions = (shares.SHARED, shares.EXTERNAL) if kind == "network" else (shares.SHARED,)
    if body.action not in actions:
        raise bad(f"Invalid input for action. Reason: '{body.action}' is not in {list(actions)}.")
    target = session.get(shares.TYPES[kind], body.object_id)
    if target is None:
        raise typed(404, "HTTPNotFound", "The resource could not be found.")
    if target.project_id != ask.project_id and not ask.sees_all:
        raise invalid("Only admins can manipulate policies on objects they do not own")
    if body.action == shares.EXTERNAL:
        ask.enforce("create_rbac_policy:external", project_id)
    _check_new(session, body.object_id, body.action, body.target)
    quotas.check(session, project_id, "rbac_policy")
    row = RbacPolicy(
        project_id=project_id,
        object_type=kind,
        object_id=body.object_id,
        action=body.action,
        target_project=body.target,
    )
    session.add(row)
    if body.action == shares.EXTERNAL and isinstance(target, Network):
        target.external = True
    return row


def _check_wildcard(ask: Asker, verb: str, target: str, project_id: str) -> None:
    if target == shares.ALL:
        ask.enforce(f"{verb}_rbac_policy:target_tenant", project_id)


def _check_new(session: Session, object_id: str, action: str, target: str) -> None:
    same = select(RbacPolicy.id).where(RbacPolicy.object_id == object_id, RbacPolicy.action == action)
    if session.exec(same.where(RbacPolicy.target_project == target)).first():
        raise conflict("DuplicateRbacPolicy", "An RBAC policy already exists with those values.")


def update(session: Session, ask: Asker, row: RbacPolicy, body: RbacPolicyUpdate, _given: list[str]) -> None:
    ask.enforce("update_rbac_policy", row.project_id)
    target = body.target_project or body.target_tenant
    if not target or target == row.target_project:
        return
    _check_wildcard(ask, "update", target, row.project_id)
    _check_new(session, row.object_id, row.action, target)
    _check_unused(session, row)
    row.target_project = target
    row.touch()


def remove(session: Session, ask: Asker, row: RbacPolicy) -> None:
    """409 RbacPolicyInUse while a project uses the object by this policy alone."""
    ask.enforce("delete_rbac_policy", row.project_id)
    _check_unused(session, row)
    session.delete(row)


def _check_unused(session: Session, row: RbacPolicy) -> None:
    using = shares.dependants(session, row.object_type, row.object_id, row.action, row.target_project)
    if using:
        raise conflict(
            "RbacPolicyInUse",
            f"RBAC policy on object {row.object_id} cannot be removed because other objects depend on it.\n"
            f"Details: project_id={using[0]}",
        )
