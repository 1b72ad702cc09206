"""Routes of volume transfers: a volume is offered, and goes to whoever shows the key.

Source: Block Storage API v3, "Volume transfer" (os-volume-transfer) and "Volume transfers (3.55 or later)"."""

import hashlib
import hmac
import secrets
import uuid
from collections.abc import Callable
from typing import Any, TypeVar

from fastapi import APIRouter, Depends, Request, Response
from sqlmodel import Session, col, select

from api.common.context import Context
from api.common.errors import ServiceError
from api.volume import limits, paging
from api.volume.errors import invalid_snapshot, invalid_volume
from api.volume.listing import boolean
from api.volume.microversion import Version as Microversion
from api.volume.schemas import TransferAccept, TransferCreate
from api.volume.service import Service, Version, VolumeCaller, VolumeService, since
from api.volume.views import links, moment
from infra.tables.volume import Snapshot, Transfer, Volume, now

router = APIRouter()
SALT_BYTES, KEY_BYTES = 8, 16
SORT_KEYS = ("id", "name", "volume_id", "created_at")
MISSING = "Transfer {} could not be found."
Handler = TypeVar("Handler", bound=Callable[..., Any])


def both(method: str, rest: str = "", **options: Any) -> Callable[[Handler], Handler]:
    """A route under both of the resource's names; the newer one exists since 3.55."""

    def register(handler: Handler) -> Handler:
        router.add_api_route(f"/os-volume-transfer{rest}", handler, methods=[method], **options)
        gate = [Depends(since(3, 55))]
        router.add_api_route(f"/volume-transfers{rest}", handler, methods=[method], dependencies=gate, **options)
        return handler

    return register


def summary(service: VolumeService, row: Transfer) -> dict[str, Any]:
    return {
        "id": row.id,
        "volume_id": row.volume_id,
        "name": row.name,
        "links": links(service.settings, "os-volume-transfer", row.id),
    }


def view(service: VolumeService, row: Transfer, version: Microversion) -> dict[str, Any]:
    body = summary(service, row) | {"created_at": moment(row.created_at)}
    if version >= (3, 55):
        body["no_snapshots"] = row.no_snapshots
    if version >= (3, 57):
        body |= {"source_project_id": row.source_project_id, "destination_project_id": None, "accepted": False}
    return body


def digest(salt: str, key: str) -> str:
    return hmac.new(salt.encode(), key.encode(), hashlib.sha256).hexdigest()


def found(session: Session, service: VolumeService, caller: Context, transfer_id: str, rule: str) -> Transfer:
    row = session.get(Transfer, transfer_id)
    missing = ServiceError(404, MISSING.format(transfer_id[:64]))
    if row is None:
        raise missing
    target = {"project_id": row.source_project_id}
    if not service.policy.allows(caller, "volume:get_transfer", target):
        raise missing
    service.policy.enforce(caller, rule, target)
    return row


@both("GET")
def index(request: Request, caller: VolumeCaller, service: Service) -> dict[str, Any]:
    rows, links = _rows(request, caller, service)
    return {"transfers": [summary(service, row) for row in rows], **links}


@both("GET", "/detail")
def detail(request: Request, caller: VolumeCaller, service: Service, version: Version) -> dict[str, Any]:
    rows, links = _rows(request, caller, service)
    return {"transfers": [view(service, row, version) for row in rows], **links}


def _rows(request: Request, caller: Context, service: VolumeService) -> tuple[list[Transfer], dict[str, Any]]:
    """All, oldest first; since 3.59 as any other list, with the link to the page after this one."""
    given = dict(request.query_params)
    query = select(Transfer).order_by(col(Transfer.created_at), col(Transfer.id))
    every = boolean(given.get("all_tenants") or "0", "all_tenants")
    if not (every and service.policy.allows(caller, "volume:get_all_projects")):
        query = query.where(Transfer.source_project_id == caller.project_id)
    for name in ("name", "volume_id"):
        if name in given:
            query = query.where(getattr(Transfer, name) == given[name])
    with service.db.read() as session:
        rows = list(session.exec(query).all())
    if request.state.version < (3, 59):
        return rows, {}
    rows, more = paging.page(given, rows, SORT_KEYS, MISSING)
    return rows, {"transfers_links": paging.next_link(request, rows[-1].id)} if more else {}


@both("POST", status_code=202)
def create(body: TransferCreate, caller: VolumeCaller, service: Service, version: Version) -> dict[str, Any]:
    """The key is in this answer only."""
    wanted, key, salt = body.transfer, secrets.token_hex(KEY_BYTES // 2), secrets.token_hex(SALT_BYTES)
    if version < (3, 55) and "no_snapshots" in wanted.model_fields_set:
        words = "Additional properties are not allowed ('no_snapshots' was unexpected)"
        raise ServiceError(400, f"Invalid input for field/attribute transfer. {words}")
    with service.db.write() as session:
        volume = service.records.volume(session, caller, wanted.volume_id, "volume:create_transfer", lock=True)
        if volume.status != "available":
            raise invalid_volume("status must be available")
        for snapshot in session.exec(select(Snapshot).where(Snapshot.volume_id == volume.id)).all():
            if snapshot.status != "available" and not wanted.no_snapshots:
                raise invalid_snapshot(f"snapshot: {snapshot.id} status must be available")
        row = Transfer(
            id=str(uuid.uuid4()),
            volume_id=volume.id,
            source_project_id=volume.project_id,
            name=wanted.name.strip() if wanted.name else wanted.name,
            salt=salt,
            key_hash=digest(salt, key),
            no_snapshots=wanted.no_snapshots,
        )
        volume.status, volume.updated_at = "awaiting-transfer", now()
        session.add(row)
    return {"transfer": view(service, row, version) | {"auth_key": key}}


@both("GET", "/{transfer_id}")
def show(transfer_id: str, caller: VolumeCaller, service: Service, version: Version) -> dict[str, Any]:
    with service.db.read() as session:
        row = found(session, service, caller, transfer_id, "volume:get_transfer")
    return {"transfer": view(service, row, version)}


@both("DELETE", "/{transfer_id}", status_code=202)
def delete(transfer_id: str, caller: VolumeCaller, service: Service) -> Response:
    with service.db.write() as session:
        row = found(session, service, caller, transfer_id, "volume:delete_transfer")
        volume = session.get(Volume, row.volume_id, with_for_update=True)
        if volume and volume.status == "awaiting-transfer":
            volume.status, volume.updated_at = "available", now()
        session.delete(row)
    return Response(status_code=202)


@both("POST", "/{transfer_id}/accept", status_code=202)
def accept(transfer_id: str, body: TransferAccept, caller: VolumeCaller, service: Service) -> dict[str, Any]:
    """The volume, and its snapshots unless they were kept back, become the caller's, within the caller's quota."""
    service.policy.enforce(caller, "volume:accept_transfer")
    with service.db.write() as session:
        row = session.get(Transfer, transfer_id)
        if row is None:
            raise ServiceError(404, MISSING.format(transfer_id[:64]))
        if not hmac.compare_digest(digest(row.salt, str(body.accept.auth_key)), row.key_hash):
            words = f"Attempt to transfer {row.id} with invalid auth key."
            raise ServiceError(400, f"Invalid auth key: {words}")
        volume = session.get(Volume, row.volume_id, with_for_update=True)
        assert volume is not None, "the row of a volume that is offered is not deleted"
        snapshots = session.exec(select(Snapshot).where(Snapshot.volume_id == volume.id)).all()
        going = [] if row.no_snapshots else list(snapshots)
        gibs = volume.size + sum(snapshot.size for snapshot in going)
        more = {"volumes": 1} | ({"snapshots": len(going)} if going else {})
        limits.check_many(session, caller.project_id, more, gibs, volume.volume_type, size=volume.size)
        for thing in (volume, *going):
            thing.project_id, thing.user_id, thing.updated_at = caller.project_id, caller.user_id, now()
        volume.status = "available"
        session.delete(row)
    return {"transfer": summary(service, row)}
