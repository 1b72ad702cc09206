"""Roles of users on projects and domains: /v3/{projects,domains}/{id}/users/{id}/roles[/{id}]."""

from typing import Any

from fastapi import APIRouter, Response
from sqlalchemy import select
from sqlmodel import Session, col

from api.identity.access import Here
from api.identity.endings import end_user_scope
from api.identity.errors import NotFound
from api.identity.listing import fetch
from api.identity.routes.roles import view as role_view
from infra.tables.identity import Assignment, Domain, Project, Role, User

router = APIRouter(prefix="/v3")


def _ensure(session: Session, kind: str, target_id: str, user_id: str) -> None:
    if kind == "project":
        fetch(session, Project, "project", target_id)
    else:
        fetch(session, Domain, "domain", target_id)
    fetch(session, User, "user", user_id)


def _fetch_grant(session: Session, target_id: str, user_id: str, role_id: str) -> Assignment:
    fetch(session, Role, "role", role_id)
    found = session.get(Assignment, (user_id, target_id, role_id))
    if found is None:
        detail = f"{role_id}, user or group: {user_id}, project, domain, or system: {target_id}"
        raise NotFound("role assignment with role", detail)
    return found


def _add_routes(kind: str) -> None:
    every = f"/{kind}s/{{target_id}}/users/{{user_id}}/roles"
    one = every + "/{role_id}"

    @router.get(every)
    def list_grants(here: Here, target_id: str, user_id: str) -> dict[str, Any]:
        here.allow("list_grants", user_id=user_id)
        with here.store.read() as session:
            _ensure(session, kind, target_id, user_id)
            mine = select(col(Assignment.role_id)).where(
                col(Assignment.user_id) == user_id, col(Assignment.target_id) == target_id
            )
            rows = list(session.scalars(select(Role).where(col(Role.id).in_(mine)).order_by(col(Role.name))))
        return here.collection("roles", [role_view(here, row) for row in rows])

    @router.put(one, status_code=204)
    def create_grant(here: Here, target_id: str, user_id: str, role_id: str) -> None:
        here.allow("create_grant")
        with here.store.change() as session:
            _ensure(session, kind, target_id, user_id)
            fetch(session, Role, "role", role_id)
            if session.get(Assignment, (user_id, target_id, role_id)) is None:
                session.add(Assignment(user_id=user_id, target_id=target_id, role_id=role_id, target_kind=kind))

    @router.head(one)
    @router.get(one)
    def check_grant(here: Here, target_id: str, user_id: str, role_id: str) -> Response:
        here.allow("check_grant")
        with here.store.read() as session:
            _ensure(session, kind, target_id, user_id)
            _fetch_grant(session, target_id, user_id, role_id)
        return Response(None, 204)

    @router.delete(one, status_code=204)
    def revoke_grant(here: Here, target_id: str, user_id: str, role_id: str) -> None:
        here.allow("revoke_grant")
        with here.store.change() as session:
            _ensure(session, kind, target_id, user_id)
            session.delete(_fetch_grant(session, target_id, user_id, role_id))
            end_user_scope(session, user_id, target_id)


_add_routes("project")
_add_routes("domain")
