"""Routes of volume types. Source: Block Storage API v3, "Volume types (types)" and "Volume type access"."""

import uuid
from typing import Any

from fastapi import APIRouter, Request, Response
from sqlmodel import col, select, update

from api.common.context import Context
from api.common.errors import ServiceError
from api.volume import paging
from api.volume.errors import invalid_input
from api.volume.schemas import FALSE, TRUE, TypeCreate, TypeUpdate
from api.volume.service import Service, VolumeCaller, VolumeService
from api.volume.types import FIRST_ID, MISSING, check_specs, missing
from infra.tables.volume import DefaultType, TypeAccess, Volume, VolumeType

router = APIRouter(prefix="/types")
MANAGE = "volume_extension:types_manage"
SORT_KEYS = ("id", "name", "description", "is_public", "created_at")


@router.get("")
def index(request: Request, caller: VolumeCaller, service: Service) -> dict[str, Any]:
    """`is_public`: true, false, or none for both; tenants see what they may use. Without it an administrator sees what
    a tenant of his project would see, as with true."""
    text = request.query_params.get("is_public", "true")
    wanted = None if text.lower() == "none" else _flag(text)
    with service.db.read() as session:
        rows = service.types.visible(session, caller)
        usable = {row.id for row in service.types.usable(session, caller.project_id)}
    if wanted is not None and caller.is_admin:
        rows = [row for row in rows if (row.id in usable if wanted else not row.is_public)]
    rows, more = paging.page(dict(request.query_params), rows, SORT_KEYS, MISSING)
    links = {"volume_type_links": paging.next_link(request, rows[-1].id)} if more else {}
    return {"volume_types": [service.types.view(caller, row) for row in rows], **links}


def _flag(text: str) -> bool:
    if text.lower() not in TRUE + FALSE:
        raise invalid_input(f"Invalid is_public filter [{text[:40]}]")
    return text.lower() in TRUE


@router.get("/default")
def default(caller: VolumeCaller, service: Service) -> dict[str, Any]:
    with service.db.read() as session:
        return {"volume_type": service.types.view(caller, service.types.default(session, caller.project_id))}


@router.post("", status_code=200)
def create(body: TypeCreate, caller: VolumeCaller, service: Service) -> dict[str, Any]:
    service.policy.enforce(caller, MANAGE)
    wanted = body.volume_type
    row = VolumeType(
        id=str(uuid.uuid4()),
        name=wanted.name.strip(),
        description=wanted.description,
        is_public=wanted.is_public,
        extra_specs=check_specs(wanted.extra_specs or {}),
    )
    with service.db.write() as session:
        _name_is_free(service, session, row)
        session.add(row)
    return {"volume_type": service.types.view(caller, row, by="POST")}


def _name_is_free(service: VolumeService, session: Any, row: VolumeType) -> None:
    if not row.name:
        raise ServiceError(400, "Volume type name can not be empty.")
    if session.exec(select(VolumeType.id).where(VolumeType.name == row.name, VolumeType.id != row.id)).first():
        raise ServiceError(409, f"Volume Type {row.name} already exists.")


@router.get("/{type_id}")
def show(type_id: str, caller: VolumeCaller, service: Service) -> dict[str, Any]:
    with service.db.read() as session:
        return {"volume_type": service.types.view(caller, service.types.get(session, caller, type_id))}


@router.put("/{type_id}")
def change(type_id: str, body: TypeUpdate, caller: VolumeCaller, service: Service) -> dict[str, Any]:
    service.policy.enforce(caller, MANAGE)
    wanted = body.volume_type
    if wanted.name is None and wanted.description is None and wanted.is_public is None:
        raise ServiceError(400, "Specify volume type name, description, is_public or a combination thereof.")
    with service.db.write() as session:
        row = service.types.get(session, caller, type_id)
        if wanted.name is not None:
            row.name = wanted.name.strip()
            _name_is_free(service, session, row)
            session.execute(update(Volume).where(col(Volume.volume_type_id) == row.id).values(volume_type=row.name))
        row.description = row.description if wanted.description is None else wanted.description
        row.is_public = row.is_public if wanted.is_public is None else wanted.is_public
        session.add(row)
    return {"volume_type": service.types.view(caller, row, by="PUT")}


@router.delete("/{type_id}", status_code=202)
def delete(type_id: str, caller: VolumeCaller, service: Service) -> Response:
    service.policy.enforce(caller, MANAGE)
    with service.db.write() as session:
        row = service.types.get(session, caller, type_id)
        defaults = session.exec(select(DefaultType.project_id).where(DefaultType.type_id == row.id)).first()
        if row.id == FIRST_ID or defaults:
            raise ServiceError(400, f"The volume type {row.id} is a default volume type and cannot be deleted.")
        if session.exec(select(Volume.id).where(Volume.volume_type_id == row.id)).first():
            raise ServiceError(400, "Target volume type is still in use.")
        for access in session.exec(select(TypeAccess).where(TypeAccess.type_id == row.id)).all():
            session.delete(access)
        session.flush()
        session.delete(row)
    return Response(status_code=202)


@router.get("/{type_id}/os-volume-type-access")
def who(type_id: str, caller: VolumeCaller, service: Service) -> dict[str, Any]:
    service.policy.enforce(caller, "volume_extension:volume_type_access")
    with service.db.read() as session:
        row = service.types.get(session, caller, type_id)
        if row.is_public:
            raise ServiceError(404, "Access list not available for public volume types.")
        found = session.exec(select(TypeAccess).where(TypeAccess.type_id == row.id)).all()
    return {"volume_type_access": [{"volume_type_id": a.type_id, "project_id": a.project_id} for a in found]}


@router.post("/{type_id}/action", status_code=202)
def act(type_id: str, body: dict[str, Any], caller: VolumeCaller, service: Service) -> Response:
    service.policy.enforce(caller, "volume_extension:volume_type_access")
    name, given = next(iter(body.items())) if len(body) == 1 else ("", None)
    if name not in ("addProjectAccess", "removeProjectAccess"):
        raise ServiceError(400, f"There is no such action: {name[:64]}")
    project = given.get("project") if isinstance(given, dict) and list(given) == ["project"] else None
    if not isinstance(project, str) or not 1 <= len(project) <= 64:
        raise ServiceError(400, f"Invalid input for field/attribute {name}. A project is expected.")
    _set_access(service, caller, type_id, project, wanted=name == "addProjectAccess")
    return Response(status_code=202)


def _set_access(service: VolumeService, caller: Context, type_id: str, project: str, *, wanted: bool) -> None:
    with service.db.write() as session:
        row = service.types.get(session, caller, type_id)
        if row.is_public:
            raise ServiceError(400, "Type access modification is not applicable to public volume type.")
        known = session.get(TypeAccess, (row.id, project))
        both = f"{row.id} / {project} combination"
        if wanted and known:
            raise ServiceError(409, f"Volume type access for {both} already exists.")
        if not wanted and not known:
            raise ServiceError(404, f"Volume type access not found for {both}.")
        if known:
            session.delete(known)
        else:
            session.add(TypeAccess(type_id=row.id, project_id=project))


@router.get("/{type_id}/encryption")
def encryption(type_id: str, caller: VolumeCaller, service: Service) -> dict[str, Any]:
    """No type is encrypted: the empty object, as Cinder answers."""
    service.policy.enforce(caller, "volume_extension:volume_type_encryption")
    show(type_id, caller, service)
    return {}


@router.get("/{type_id}/encryption/{key}")
def encryption_key(type_id: str, key: str, caller: VolumeCaller, service: Service) -> dict[str, Any]:
    service.policy.enforce(caller, "volume_extension:volume_type_encryption")
    with service.db.read() as session:
        service.types.get(session, caller, type_id)
    raise missing(type_id)
