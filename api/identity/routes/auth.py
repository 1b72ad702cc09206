"""/v3/auth: tokens (issue, validate, check, revoke), and what the caller's token opens."""

import asyncio
from typing import Any

from fastapi import APIRouter, Request, Response
from sqlalchemy import select
from sqlmodel import col

from api.common.context import Unauthorized
from api.identity.access import Here, context_of, running
from api.identity.errors import Forbidden, Invalid, NotFound
from api.identity.listing import is_set
from api.identity.routes.domains import view as domain_view
from api.identity.routes.projects import held_by
from api.identity.routes.projects import view as project_view
from api.identity.schemas.auth import AuthBody
from api.identity.tokens import Token
from infra.tables.identity import Domain, Project

router = APIRouter(prefix="/v3/auth")


def _answer(request: Request, token: Token, status: int) -> Response:
    with_catalog = not is_set(request.query_params, "nocatalog")
    body = running(request).tokens.render(token, with_catalog=with_catalog)
    headers = {"X-Subject-Token": token.text, "Vary": "X-Auth-Token"}
    return Response(body, status, headers, media_type="application/json")


@router.post("/tokens")
async def issue_token(body: AuthBody, request: Request) -> Response:
    token = await running(request).sign_in(body.auth)
    return await asyncio.to_thread(_answer, request, token, 201)


def _subject(request: Request, action: str) -> Token:
    """The token in X-Subject-Token, once X-Auth-Token has shown to be allowed `action` on it."""
    identity = running(request)
    auth, subject = request.headers.get("x-auth-token", ""), request.headers.get("x-subject-token", "")
    caller = identity.tokens.validate(auth) if auth else None
    if caller is None:
        raise Unauthorized
    if not subject:
        raise Invalid("X-Subject-Token is missing.")
    allow_expired = is_set(request.query_params, "allow_expired")
    wanted = caller if subject == auth else identity.tokens.validate(subject, allow_expired=allow_expired)
    context = context_of(caller, request.state.request_id)
    target = {"target.token.user_id": wanted.payload.user_id if wanted else ""}
    if not identity.policy.allows(context, f"identity:{action}", target):
        raise Forbidden(f"identity:{action}")
    if wanted is None:
        raise NotFound("token", "it is unknown, expired or revoked")
    return wanted


@router.get("/tokens")
def validate_token(request: Request) -> Response:
    return _answer(request, _subject(request, "validate_token"), 200)


@router.head("/tokens")
def check_token(request: Request) -> Response:
    token = _subject(request, "check_token")
    return Response(None, 200, {"X-Subject-Token": token.text, "Vary": "X-Auth-Token"}, media_type="application/json")


@router.delete("/tokens")
def revoke_token(request: Request) -> Response:
    running(request).tokens.revoke(_subject(request, "revoke_token"))
    return Response(None, 204)


@router.get("/catalog")
def get_catalog(here: Here) -> Response:
    if here.token.payload.scope.kind == "unscoped":
        raise Forbidden("identity:get_auth_catalog")
    entries = here.identity.tokens.catalog_of(here.caller.user_id, here.caller.project_id)
    links = f',"links":{{"self":"{here.base}/auth/catalog","next":null,"previous":null}}}}'
    return Response(b'{"catalog":' + entries + links.encode(), media_type="application/json")


@router.get("/projects")
def my_projects(here: Here) -> dict[str, Any]:
    """Enabled projects on which the caller's user has a role: what the token may be exchanged for."""
    query = select(Project).where(col(Project.id).in_(held_by(here.caller.user_id)), col(Project.enabled).is_(True))
    with here.store.read() as session:
        rows = here.rows(session, Project, query, {})
    return here.collection("projects", [project_view(here, row) for row in rows])


@router.get("/domains")
def my_domains(here: Here) -> dict[str, Any]:
    query = select(Domain).where(col(Domain.id).in_(held_by(here.caller.user_id)), col(Domain.enabled).is_(True))
    with here.store.read() as session:
        rows = here.rows(session, Domain, query, {})
    return here.collection("domains", [domain_view(here, row) for row in rows])


@router.get("/system")
def my_system(here: Here) -> dict[str, Any]:
    """No role is ever given on the system here."""
    return here.collection("system", [])
