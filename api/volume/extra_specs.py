"""Routes of the extra specs of volume types. Source: Block Storage API v3, "Volume types (types)"."""

from typing import Any

from fastapi import APIRouter, Response
from sqlmodel import Session, select

from api.common.context import Context
from api.common.errors import ServiceError
from api.volume.schemas import ExtraSpecs, Specs
from api.volume.service import Service, VolumeCaller, VolumeService
from api.volume.types import check_specs
from infra.tables.volume import Volume, VolumeType

router = APIRouter(prefix="/types/{type_id}/extra_specs")


def changeable(session: Session, service: VolumeService, caller: Context, type_id: str) -> VolumeType:
    """The type, when no volume has it: what a volume was promised does not change under it."""
    service.policy.enforce(caller, "volume_extension:types_manage")
    row = service.types.get(session, caller, type_id)
    if session.exec(select(Volume.id).where(Volume.volume_type_id == row.id)).first():
        raise ServiceError(400, "Volume Type is currently in use.")
    return row


def seen(service: VolumeService, caller: Context, type_id: str) -> dict[str, str]:
    with service.db.read() as session:
        specs: dict[str, str] = service.types.view(caller, service.types.get(session, caller, type_id))["extra_specs"]
    return specs


def absent(type_id: str, key: str) -> ServiceError:
    return ServiceError(404, f"Volume Type {type_id} has no extra specs with key {key[:255]}.")


@router.get("")
def index(type_id: str, caller: VolumeCaller, service: Service) -> dict[str, Any]:
    return {"extra_specs": seen(service, caller, type_id)}


@router.post("")
def add(type_id: str, body: ExtraSpecs, caller: VolumeCaller, service: Service) -> dict[str, Any]:
    with service.db.write() as session:
        row = changeable(session, service, caller, type_id)
        row.extra_specs = row.extra_specs | check_specs(body.extra_specs)
        session.add(row)
    return {"extra_specs": body.extra_specs}


@router.get("/{key}")
def show(type_id: str, key: str, caller: VolumeCaller, service: Service) -> dict[str, Any]:
    specs = seen(service, caller, type_id)
    if key not in specs:
        raise absent(type_id, key)
    return {key: specs[key]}


@router.put("/{key}")
def put(type_id: str, key: str, body: Specs, caller: VolumeCaller, service: Service) -> dict[str, Any]:
    if list(body) != [key]:
        raise ServiceError(400, "Request body and URI mismatch")
    with service.db.write() as session:
        row = changeable(session, service, caller, type_id)
        row.extra_specs = row.extra_specs | check_specs(body)
        session.add(row)
    return dict(body)


@router.delete("/{key}", status_code=202)
def delete(type_id: str, key: str, caller: VolumeCaller, service: Service) -> Response:
    with service.db.write() as session:
        row = changeable(session, service, caller, type_id)
        if key not in row.extra_specs:
            raise absent(type_id, key)
        row.extra_specs = {k: v for k, v in row.extra_specs.items() if k != key}
        session.add(row)
    return Response(status_code=202)
