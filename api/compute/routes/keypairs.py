"""Key pairs, which belong to a user (Compute API reference, "Keypairs")."""

import re
from typing import Any

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from sqlalchemy import select
from sqlmodel import Session

from api.compute import keys
from api.compute.call import Body, Call, ComputeCall
from api.compute.errors import bad_request, conflict, forbidden, not_found
from api.compute.paging import MAX_LIMIT, Page
from api.compute.records import quotas
from api.compute.schemas.keypairs import KeypairCreate
from api.compute.validation import check_query, parse
from api.compute.views import shapes
from api.compute.views.spans import at
from api.compute.views.states import micro
from infra.tables.compute import KeyPair

router = APIRouter()
table = KeyPair.__table__  # type: ignore[attr-defined]
OLD_NAME, NEW_NAME = re.compile(r"^[a-zA-Z0-9 _-]+$"), re.compile(r"^[a-zA-Z0-9 ._@-]+$")


@router.get("/os-keypairs")
def list_keypairs(call: Call) -> Response:
    """The user's key pairs, by name; from 2.35 paged."""
    check_query(call, "user_id", "limit", "marker")
    owner = _owner(call, "index")
    page = Page.of(call) if call.since(35) else Page(MAX_LIMIT, None)
    with call.db.read() as session:
        rows = list(session.scalars(select(KeyPair).where(table.c.user_id == owner).order_by(table.c.name)))
    shown = page.cut(rows, "name") if call.since(35) else rows
    names = ("name", "public_key", "fingerprint", "type")
    keypairs = [at(call.version, shapes.KeyPair, {name: getattr(row, name) for name in names}) for row in shown]
    body: dict[str, Any] = {"keypairs": [{"keypair": keypair} for keypair in keypairs]}
    if call.since(35) and (links := page.links(call, "/os-keypairs", [row.name for row in shown])):
        body["keypairs_links"] = links
    return JSONResponse(body)


@router.post("/os-keypairs")
def create_keypair(call: Call, body: Body) -> Response:
    """Import a public key; before 2.92 one is made when none is given (of `x509` a certificate for WinRM), and its
    private half answered once."""
    wish = parse(call, KeypairCreate, body, "keypair")
    owner = wish.user_id or call.context.user_id
    call.enforce("os_compute_api:os-keypairs:create", user_id=owner)
    if not (NEW_NAME if call.since(92) else OLD_NAME).fullmatch(wish.name):
        raise bad_request("Keypair data is invalid: Keypair name contains unsafe characters")
    if wish.public_key is None and call.since(92):
        raise bad_request("Invalid input for field/attribute keypair. 'public_key' is a required property")
    private, public = None, wish.public_key
    if public is None:
        private, public = keys.generate() if wish.type == "ssh" else keys.generate_certificate(owner)
    fingerprint = keys.ssh_fingerprint(public) if wish.type == "ssh" else keys.x509_fingerprint(public)
    row = KeyPair(user_id=owner, name=wish.name, type=wish.type, fingerprint=fingerprint, public_key=public)
    with call.db.write() as session:
        _add(session, call, row)
    shown = {"name": row.name, "public_key": public, "fingerprint": fingerprint, "user_id": owner, "type": row.type}
    if private:
        shown["private_key"] = private
    return JSONResponse({"keypair": at(call.version, shapes.KeyPair, shown)}, status_code=201 if call.since(2) else 200)


def _add(session: Session, call: ComputeCall, row: KeyPair) -> None:
    known = list(session.scalars(select(table.c.name).where(table.c.user_id == row.user_id)))
    limit = quotas.limits(session, call.context.project_id)["key_pairs"]
    if row.name in known:
        raise conflict(f"Key pair '{row.name}' already exists.")
    if 0 <= limit <= len(known):
        raise forbidden("Quota exceeded, too many key pairs.")
    session.add(row)


@router.get("/os-keypairs/{name}")
def show_keypair(call: Call, name: str) -> Response:
    """One key pair by name."""
    check_query(call, "user_id")
    owner = _owner(call, "show")
    with call.db.read() as session:
        row = _find(session, owner, name)
    shown = {
        "name": row.name,
        "public_key": row.public_key,
        "fingerprint": row.fingerprint,
        "user_id": row.user_id,
        "created_at": micro(row.created_at),
        "deleted": False,
        "deleted_at": None,
        "id": int(row.fingerprint.replace(":", "")[:7], 16),
        "updated_at": None,
        "type": row.type,
    }
    return JSONResponse({"keypair": at(call.version, shapes.KeyPair, shown)})


@router.delete("/os-keypairs/{name}")
def delete_keypair(call: Call, name: str) -> Response:
    """Forget a key pair; servers keep the key they were made with."""
    check_query(call, "user_id")
    owner = _owner(call, "delete")
    with call.db.write() as session:
        session.delete(_find(session, owner, name))
    return Response(status_code=204 if call.since(2) else 202)


def _owner(call: ComputeCall, rule: str) -> str:
    """Whose key pairs: from 2.10 an admin may name another user."""
    owner = (call.query.get("user_id") if call.since(10) else None) or call.context.user_id
    call.enforce(f"os_compute_api:os-keypairs:{rule}", user_id=owner)
    return owner


def _find(session: Session, owner: str, name: str) -> KeyPair:
    row = session.get(KeyPair, (owner, name))
    if row is None:
        raise not_found(f"Keypair {name[:255]} not found for user {owner}")
    return row
