"""/v3/users/{id}/application_credentials: secrets with which a user's programs sign in to one project."""

import secrets
from typing import Any

from fastapi import APIRouter
from sqlalchemy import select
from sqlmodel import Session, col

from api.identity.access import Access, Here
from api.identity.errors import Conflict, Forbidden, Invalid, NotBuilt, NotFound
from api.identity.schemas.application_credentials import CredentialCreate, CredentialCreateBody
from api.identity.tokens import iso, now_us
from infra.tables.identity import ApplicationCredential, Role

router = APIRouter(prefix="/v3/users/{user_id}/application_credentials")


def _view(here: Access, session: Session, row: ApplicationCredential) -> dict[str, Any]:
    roles = session.scalars(select(Role).where(col(Role.id).in_(row.role_ids)).order_by(col(Role.name)))
    return {
        "id": row.id,
        "name": row.name,
        "description": row.description,
        "user_id": row.user_id,
        "project_id": row.project_id,
        "roles": [{"id": role.id, "name": role.name, "domain_id": None} for role in roles],
        "expires_at": iso(row.expires_us).removesuffix("Z") if row.expires_us is not None else None,
        "unrestricted": row.unrestricted,
        "system": None,
        "links": here.link("users", row.user_id, "application_credentials", row.id),
    }


def _not_by_restricted(here: Access) -> None:
    """A credential's token may not make or remove credentials, unless its user allowed that."""
    credential = here.token.facts.body.get("application_credential")
    if credential and credential["restricted"]:
        raise Forbidden(
            "Using method 'application_credential' is not allowed for managing additional application credentials."
        )


def _role_ids(here: Access, wanted: CredentialCreate) -> list[str]:
    """Those of the caller's token by default; never one that the token does not have."""
    mine = {role["id"]: role["name"] for role in here.token.facts.body.get("roles", [])}
    if wanted.roles is None:
        return list(mine)
    chosen = []
    for role in wanted.roles:
        match = next((id_ for id_, name in mine.items() if role.id == id_ or role.name == name), None)
        if match is None:
            raise Invalid(f"Invalid application credential: the token has no role {role.id or role.name}.")
        chosen.append(match)
    return list(dict.fromkeys(chosen))


@router.post("", status_code=201)
def create_application_credential(here: Here, user_id: str, body: CredentialCreateBody) -> dict[str, Any]:
    """The secret is in this answer and nowhere else."""
    here.allow("create_application_credential", user_id=user_id)
    _not_by_restricted(here)
    wanted = body.application_credential
    if here.token.payload.scope.kind != "project":
        raise Invalid("Application credentials need a token for a project.")
    if wanted.access_rules:
        raise NotBuilt("Access rules")
    if wanted.expires_us is not None and wanted.expires_us <= now_us():
        raise Invalid("Invalid application credential: expires_at lies in the past.")
    secret = wanted.secret or secrets.token_urlsafe(64)
    row = ApplicationCredential(
        name=wanted.name,
        description=wanted.description,
        user_id=user_id,
        project_id=here.caller.project_id,
        secret_hash=here.identity.passwords.hash(secret),
        role_ids=_role_ids(here, wanted),
        expires_us=wanted.expires_us,
        unrestricted=bool(wanted.unrestricted),
    )
    with here.store.change() as session:
        if session.scalars(_named(user_id, row.name)).first() is not None:
            raise Conflict("application_credential", f"Duplicate entry found with name {row.name}")
        session.add(row)
        session.flush()
        return {"application_credential": _view(here, session, row) | {"secret": secret}}


def _named(user_id: str, name: str) -> Any:
    return select(ApplicationCredential).where(
        col(ApplicationCredential.user_id) == user_id, col(ApplicationCredential.name) == name
    )


def _fetch(session: Session, user_id: str, credential_id: str) -> ApplicationCredential:
    found = session.get(ApplicationCredential, credential_id) if "\x00" not in credential_id else None
    if found is None or found.user_id != user_id:
        raise NotFound("Application Credential", credential_id[:255].replace("\x00", ""))
    return found


@router.get("")
def list_application_credentials(here: Here, user_id: str) -> dict[str, Any]:
    here.allow("list_application_credentials", user_id=user_id)
    with here.store.read() as session:
        query = select(ApplicationCredential).where(col(ApplicationCredential.user_id) == user_id)
        rows = here.rows(session, ApplicationCredential, query, {"name": ApplicationCredential.name})
        views = [_view(here, session, row) for row in rows]
    return here.collection("application_credentials", views)


@router.get("/{credential_id}")
def get_application_credential(here: Here, user_id: str, credential_id: str) -> dict[str, Any]:
    here.allow("get_application_credential", user_id=user_id)
    with here.store.read() as session:
        return {"application_credential": _view(here, session, _fetch(session, user_id, credential_id))}


@router.delete("/{credential_id}", status_code=204)
def delete_application_credential(here: Here, user_id: str, credential_id: str) -> None:
    here.allow("delete_application_credential", user_id=user_id)
    _not_by_restricted(here)
    with here.store.change() as session:
        session.delete(_fetch(session, user_id, credential_id))
