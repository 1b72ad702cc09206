"""/v3/role_assignments: who has which role where, filtered, with names, and with implied roles when asked for."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter
from sqlalchemy import select
from sqlmodel import Session, col

from api.identity.access import Access, Here
from api.identity.facts import implications, with_implied
from api.identity.listing import is_set
from infra.tables.identity import Assignment, Domain, Project, Role, User

router = APIRouter(prefix="/v3")
NOBODY_HAS = ("group.id", "scope.system", "scope.OS-INHERIT:inherited_to")
"""Filters that ask for what does not exist here: the answer is empty."""


@dataclass(frozen=True)
class Effect:
    """A role that holds because of `assignment`; `role_id` differs from the assigned one when it is implied."""

    assignment: Assignment
    role_id: str


def _effects(session: Session, rows: list[Assignment], effective: bool) -> Iterator[Effect]:
    implied = implications(session) if effective else {}
    for row in rows:
        for role in sorted(with_implied([row.role_id], implied)):
            yield Effect(row, role)


class Names:
    """{id: member with name} of everything that assignments mention."""

    def __init__(self, session: Session) -> None:
        self.domains = {row.id: {"id": row.id, "name": row.name} for row in session.scalars(select(Domain))}
        self.users = self._with_domain(session, User)
        self.projects = self._with_domain(session, Project)
        self.roles = {row.id: {"id": row.id, "name": row.name} for row in session.scalars(select(Role))}

    def _with_domain(self, session: Session, table: Any) -> dict[str, dict[str, Any]]:
        rows = session.execute(select(table.id, table.name, table.domain_id))
        return {row.id: {"id": row.id, "name": row.name, "domain": self.domains[row.domain_id]} for row in rows}


def _view(here: Access, effect: Effect, names: Names | None) -> dict[str, Any]:
    row = effect.assignment
    direct = here.link(f"{row.target_kind}s", row.target_id, "users", row.user_id, "roles", row.role_id)["self"]
    links = {"assignment": direct}
    if effect.role_id != row.role_id:
        links["prior_role"] = here.link("role_inferences", row.role_id, "implies", effect.role_id)["self"]
    targets = (names.projects if row.target_kind == "project" else names.domains) if names else {}
    return {
        "user": names.users[row.user_id] if names else {"id": row.user_id},
        "role": names.roles[effect.role_id] if names else {"id": effect.role_id},
        "scope": {row.target_kind: targets.get(row.target_id, {"id": row.target_id})},
        "links": links,
    }


@router.get("/role_assignments")
def list_role_assignments(here: Here) -> dict[str, Any]:
    params = here.request.query_params
    here.allow("list_role_assignments", user_id=params.get("user.id", ""))
    effective = is_set(params, "effective")
    query = select(Assignment).order_by(col(Assignment.user_id), col(Assignment.target_id), col(Assignment.role_id))
    if user := params.get("user.id"):
        query = query.where(col(Assignment.user_id) == user)
    for kind in ("project", "domain"):
        if target := params.get(f"scope.{kind}.id"):
            query = query.where(col(Assignment.target_id) == target, col(Assignment.target_kind) == kind)
    role = params.get("role.id")
    if role and not effective:
        query = query.where(col(Assignment.role_id) == role)
    if any(name in params for name in NOBODY_HAS):
        return here.collection("role_assignments", [])
    with here.store.read() as session:
        rows = list(session.scalars(query))
        found = [effect for effect in _effects(session, rows, effective) if role in (None, effect.role_id)]
        names = Names(session) if is_set(params, "include_names") else None
    return here.collection("role_assignments", [_view(here, effect, names) for effect in found])
