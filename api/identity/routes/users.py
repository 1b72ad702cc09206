"""/v3/users: create, list, show, change, delete, own password, projects; groups, which do not exist here."""

from typing import Any

from fastapi import APIRouter, Request
from sqlalchemy import select
from sqlmodel import col

from api.identity.access import Access, Here, running
from api.identity.endings import end_user
from api.identity.errors import Invalid
from api.identity.listing import fetch
from api.identity.routes.projects import FILTERS as PROJECT_FILTERS
from api.identity.routes.projects import held_by
from api.identity.routes.projects import view as project_view
from api.identity.schemas.auth import PasswordChangeBody
from api.identity.schemas.envelopes import UserChangeBody, UserCreateBody
from api.identity.schemas.resources import UserChange
from api.identity.unique import checked_options, ensure_free
from infra.tables.identity import Domain, Project, User

router = APIRouter(prefix="/v3/users")
FILTERS = {"name": User.name, "enabled": User.enabled, "domain_id": User.domain_id}
OPTIONS = frozenset({"ignore_lockout_failure_attempts"})


def view(here: Access, user: User) -> dict[str, Any]:
    shown = {"default_project_id": user.default_project_id, "description": user.description}
    return {
        **user.extra,
        **{name: value for name, value in shown.items() if value is not None},
        "id": user.id,
        "name": user.name,
        "domain_id": user.domain_id,
        "enabled": user.enabled,
        "options": user.options,
        "password_expires_at": None,
        "links": here.link("users", user.id),
    }


def _apply(user: User, change: UserChange) -> None:
    given = change.given()
    for name in ("name", "description", "default_project_id"):
        setattr(user, name, given.get(name, getattr(user, name)))
    if "options" in given:
        user.options = checked_options(given["options"], OPTIONS)
    if user.enabled and given.get("enabled") is False:
        user.epoch += 1
    user.enabled = given.get("enabled", user.enabled)
    user.extra = {**user.extra, **change.extras()}


def _hashed(here: Access, change: UserChange) -> str | None:
    """Done before the store is locked: a hash takes long."""
    return here.identity.passwords.hash(change.password) if change.password is not None else None


@router.post("", status_code=201)
def create_user(here: Here, body: UserCreateBody) -> dict[str, Any]:
    here.allow("create_user")
    hashed = _hashed(here, body.user)
    with here.store.change() as session:
        domain = fetch(session, Domain, "domain", body.user.domain_id or here.home_domain)
        user = User(name=body.user.name, domain_id=domain.id, password_hash=hashed)
        _apply(user, body.user)
        ensure_free(session, "user", user)
        session.add(user)
    return {"user": view(here, user)}


@router.get("")
def list_users(here: Here) -> dict[str, Any]:
    here.allow("list_users")
    with here.store.read() as session:
        rows = here.rows(session, User, select(User), FILTERS)
    return here.collection("users", [view(here, row) for row in rows])


@router.get("/{user_id}")
def get_user(here: Here, user_id: str) -> dict[str, Any]:
    here.allow("get_user", user_id=user_id)
    with here.store.read() as session:
        return {"user": view(here, fetch(session, User, "user", user_id))}


@router.patch("/{user_id}")
def update_user(here: Here, user_id: str, body: UserChangeBody) -> dict[str, Any]:
    here.allow("update_user")
    hashed = _hashed(here, body.user)
    with here.store.change() as session:
        user = fetch(session, User, "user", user_id)
        if (body.user.domain_id or user.domain_id) != user.domain_id:
            raise Invalid("Update of domain_id is not allowed.")
        _apply(user, body.user)
        if hashed:
            user.password_hash, user.failures = hashed, 0
            user.epoch += 1
        ensure_free(session, "user", user)
        session.add(user)
    return {"user": view(here, user)}


@router.delete("/{user_id}", status_code=204)
def delete_user(here: Here, user_id: str) -> None:
    here.allow("delete_user")
    with here.store.change() as session:
        end_user(session, fetch(session, User, "user", user_id))


@router.post("/{user_id}/password", status_code=204)
async def change_password(user_id: str, body: PasswordChangeBody, request: Request) -> None:
    """Needs no token: the old password is the proof."""
    await running(request).sign_in.change_password(user_id, body.user)


@router.get("/{user_id}/projects")
def list_user_projects(here: Here, user_id: str) -> dict[str, Any]:
    here.allow("list_user_projects", user_id=user_id)
    with here.store.read() as session:
        user = fetch(session, User, "user", user_id)
        query = select(Project).where(col(Project.id).in_(held_by(user.id)))
        rows = here.rows(session, Project, query, PROJECT_FILTERS)
    return here.collection("projects", [project_view(here, row) for row in rows])


@router.get("/{user_id}/groups")
def list_user_groups(here: Here, user_id: str) -> dict[str, Any]:
    here.allow("list_groups", user_id=user_id)
    with here.store.read() as session:
        fetch(session, User, "user", user_id)
    return here.collection("groups", [])
