"""Routes of the projects' default types (since 3.62). Source: Block Storage API v3, "Default Volume Types"."""

from typing import Any

from fastapi import APIRouter, Depends, Response
from sqlmodel import col, select

from api.common.errors import ServiceError
from api.volume.schemas import DefaultTypeBody
from api.volume.service import Service, VolumeCaller, since
from infra.tables.volume import DefaultType

router = APIRouter(prefix="/default-types", dependencies=[Depends(since(3, 62))])
GET, SET = "volume:get_default_type", "volume:set_default_type"


def view(row: DefaultType) -> dict[str, str]:
    return {"project_id": row.project_id, "volume_type_id": row.type_id}


@router.get("")
def index(caller: VolumeCaller, service: Service) -> dict[str, Any]:
    service.policy.enforce(caller, GET)
    with service.db.read() as session:
        rows = session.exec(select(DefaultType).order_by(col(DefaultType.project_id))).all()
    return {"default_types": [view(row) for row in rows]}


@router.get("/{project_id}")
def show(project_id: str, caller: VolumeCaller, service: Service) -> dict[str, Any]:
    service.policy.enforce(caller, GET)
    with service.db.read() as session:
        row = session.get(DefaultType, project_id)
    if row is None:
        raise ServiceError(404, f"Default type for project {project_id[:64]} not found.")
    return {"default_type": view(row)}


@router.put("/{project_id}")
def put(project_id: str, body: DefaultTypeBody, caller: VolumeCaller, service: Service) -> dict[str, Any]:
    service.policy.enforce(caller, SET)
    if len(project_id) > 64:
        raise ServiceError(404, f"Project {project_id[:64]} could not be found.")
    with service.db.write() as session:
        kind = service.types.named(session, caller, body.default_type.volume_type)
        row = session.get(DefaultType, project_id) or DefaultType(project_id=project_id, type_id=kind.id)
        row.type_id = kind.id
        session.add(row)
    return {"default_type": view(row)}


@router.delete("/{project_id}", status_code=204)
def delete(project_id: str, caller: VolumeCaller, service: Service) -> Response:
    service.policy.enforce(caller, SET)
    with service.db.write() as session:
        if row := session.get(DefaultType, project_id):
            session.delete(row)
    return Response(status_code=204)
