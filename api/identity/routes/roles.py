"""/v3/roles, what roles imply, and /v3/role_inferences."""

from typing import Any

from fastapi import APIRouter
from sqlalchemy import delete, or_, select
from sqlmodel import Session, col

from api.common.errors import ServiceError
from api.identity.access import Access, Here
from api.identity.endings import end_role
from api.identity.errors import NotBuilt, NotFound
from api.identity.facts import implications, with_implied
from api.identity.listing import fetch
from api.identity.schemas.envelopes import RoleChangeBody, RoleCreateBody
from api.identity.schemas.resources import RoleChange
from api.identity.unique import checked_options, ensure_free
from infra.tables.identity import ImpliedRole, Role

router = APIRouter(prefix="/v3")


def view(here: Access, role: Role) -> dict[str, Any]:
    return {
        "id": role.id,
        "name": role.name,
        "description": role.description,
        "domain_id": None,
        "options": {},
        "links": here.link("roles", role.id),
    }


def _apply(role: Role, change: RoleChange) -> None:
    given = change.given()
    checked_options(given.get("options", {}))
    if given.get("domain_id"):
        raise NotBuilt("Roles of a domain")
    role.name = given.get("name", role.name)
    role.description = given.get("description", role.description)


@router.post("/roles", status_code=201)
def create_role(here: Here, body: RoleCreateBody) -> dict[str, Any]:
    here.allow("create_role")
    role = Role(name=body.role.name)
    _apply(role, body.role)
    with here.store.change() as session:
        ensure_free(session, "role", role)
        session.add(role)
    return {"role": view(here, role)}


@router.get("/roles")
def list_roles(here: Here) -> dict[str, Any]:
    here.allow("list_roles")
    with here.store.read() as session:
        of_domain = here.request.query_params.get("domain_id")
        rows = [] if of_domain else here.rows(session, Role, select(Role), {"name": Role.name})
    return here.collection("roles", [view(here, row) for row in rows])


@router.get("/roles/{role_id}")
def get_role(here: Here, role_id: str) -> dict[str, Any]:
    here.allow("get_role")
    with here.store.read() as session:
        return {"role": view(here, fetch(session, Role, "role", role_id))}


@router.patch("/roles/{role_id}")
def update_role(here: Here, role_id: str, body: RoleChangeBody) -> dict[str, Any]:
    here.allow("update_role")
    with here.store.change() as session:
        role = fetch(session, Role, "role", role_id)
        _apply(role, body.role)
        ensure_free(session, "role", role)
        session.add(role)
    return {"role": view(here, role)}


@router.delete("/roles/{role_id}", status_code=204)
def delete_role(here: Here, role_id: str) -> None:
    here.allow("delete_role")
    with here.store.change() as session:
        role = fetch(session, Role, "role", role_id)
        end_role(session, role.id)
        session.execute(
            delete(ImpliedRole).where(
                or_(col(ImpliedRole.prior_role_id) == role.id, col(ImpliedRole.implied_role_id) == role.id)
            )
        )
        session.delete(role)


def _short(here: Access, role: Role) -> dict[str, Any]:
    return {"id": role.id, "name": role.name, "description": role.description, "links": here.link("roles", role.id)}


def _rule(here: Access, session: Session, prior_id: str) -> dict[str, Any]:
    prior = fetch(session, Role, "role", prior_id)
    implied = sorted(implications(session).get(prior_id, []))
    return {
        "prior_role": _short(here, prior),
        "implies": [_short(here, fetch(session, Role, "role", role)) for role in implied],
    }


@router.get("/role_inferences")
def list_role_inferences(here: Here) -> dict[str, Any]:
    here.allow("list_role_inference_rules")
    with here.store.read() as session:
        rules = [_rule(here, session, prior) for prior in sorted(implications(session))]
    return {"role_inferences": rules, "links": here.link("role_inferences")}


@router.get("/roles/{role_id}/implies")
def list_implied_roles(here: Here, role_id: str) -> dict[str, Any]:
    here.allow("list_implied_roles")
    with here.store.read() as session:
        return {"role_inference": _rule(here, session, role_id), "links": here.link("roles", role_id, "implies")}


def _inference(here: Access, session: Session, role_id: str, implied_id: str) -> dict[str, Any]:
    both = [_short(here, fetch(session, Role, "role", role)) for role in (role_id, implied_id)]
    links = here.link("roles", role_id, "implies", implied_id)
    return {"role_inference": {"prior_role": both[0], "implies": both[1]}, "links": links}


@router.put("/roles/{role_id}/implies/{implied_id}", status_code=201)
def create_implied_role(here: Here, role_id: str, implied_id: str) -> dict[str, Any]:
    here.allow("create_implied_role")
    with here.store.change() as session:
        answer = _inference(here, session, role_id, implied_id)
        if session.get(ImpliedRole, (role_id, implied_id)) is None:
            if role_id in with_implied([implied_id], implications(session)):
                raise ServiceError(400, "A role cannot imply a role that implies it.")
            session.add(ImpliedRole(prior_role_id=role_id, implied_role_id=implied_id))
    return answer


@router.head("/roles/{role_id}/implies/{implied_id}", status_code=204)
def check_implied_role(here: Here, role_id: str, implied_id: str) -> None:
    here.allow("get_implied_role")
    with here.store.read() as session:
        _fetch_rule(session, role_id, implied_id)


@router.get("/roles/{role_id}/implies/{implied_id}")
def get_implied_role(here: Here, role_id: str, implied_id: str) -> dict[str, Any]:
    here.allow("get_implied_role")
    with here.store.read() as session:
        _fetch_rule(session, role_id, implied_id)
        return _inference(here, session, role_id, implied_id)


@router.delete("/roles/{role_id}/implies/{implied_id}", status_code=204)
def delete_implied_role(here: Here, role_id: str, implied_id: str) -> None:
    here.allow("delete_implied_role")
    with here.store.change() as session:
        session.delete(_fetch_rule(session, role_id, implied_id))


def _fetch_rule(session: Session, role_id: str, implied_id: str) -> ImpliedRole:
    found = session.get(ImpliedRole, (role_id, implied_id))
    if found is None:
        raise NotFound("implied role", f"{role_id} implies {implied_id}")
    return found
