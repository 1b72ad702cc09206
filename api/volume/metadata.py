"""Routes of the metadata of volumes and snapshots, which follow one pattern. Source: Block Storage API v3."""

from typing import Any

from fastapi import APIRouter, Response
from pydantic import TypeAdapter, ValidationError
from sqlmodel import Session

from api.common.context import Context
from api.common.errors import ServiceError
from api.volume.schemas import ITEMS, Metadata, MetadataBody, MetaItem
from api.volume.service import Service, VolumeCaller, VolumeService
from infra.tables.volume import Snapshot, Volume, now

router = APIRouter()
CHECK: TypeAdapter[dict[str, str]] = TypeAdapter(Metadata)


def find(session: Session, service: VolumeService, caller: Context, kind: str, object_id: str) -> Volume | Snapshot:
    """The row whose metadata is to be changed."""
    if kind == "volumes":
        return service.records.volume(session, caller, object_id, "volume:update_metadata", lock=True)
    return service.records.snapshot(session, caller, object_id, "volume:update_snapshot", lock=True)


def read(service: VolumeService, caller: Context, kind: str, object_id: str) -> dict[str, str]:
    found = service.records.volume if kind == "volumes" else service.records.snapshot
    with service.db.read() as session:
        return found(session, caller, object_id).properties


def store(row: Volume | Snapshot, values: dict[str, str]) -> dict[str, str]:
    try:
        row.properties = CHECK.validate_python(values)
    except ValidationError as error:
        raise ServiceError(413, f"Maximum number of metadata items exceeds limit ({ITEMS}).") from error
    row.updated_at = now()
    return row.properties


def add_routes(kind: str) -> None:
    place = f"/{kind}/{{object_id}}/metadata"

    @router.get(place, name=f"list {kind} metadata")
    def index(object_id: str, caller: VolumeCaller, service: Service) -> dict[str, Any]:
        return {"metadata": read(service, caller, kind, object_id)}

    @router.post(place, name=f"add {kind} metadata")
    def add(object_id: str, body: MetadataBody, caller: VolumeCaller, service: Service) -> dict[str, Any]:
        with service.db.write() as session:
            row = find(session, service, caller, kind, object_id)
            return {"metadata": store(row, row.properties | body.metadata)}

    @router.put(place, name=f"replace {kind} metadata")
    def replace(object_id: str, body: MetadataBody, caller: VolumeCaller, service: Service) -> dict[str, Any]:
        with service.db.write() as session:
            return {"metadata": store(find(session, service, caller, kind, object_id), body.metadata)}


def add_item_routes(kind: str) -> None:
    place = f"/{kind}/{{object_id}}/metadata/{{key}}"

    @router.get(place, name=f"show {kind} metadata item")
    def show(object_id: str, key: str, caller: VolumeCaller, service: Service) -> dict[str, Any]:
        return {"meta": {key: existing(read(service, caller, kind, object_id), kind, key, object_id)}}

    @router.put(place, name=f"set {kind} metadata item")
    def put(object_id: str, key: str, body: MetaItem, caller: VolumeCaller, service: Service) -> dict[str, Any]:
        if list(body.meta) != [key]:
            raise ServiceError(400, "Request body and URI mismatch")
        with service.db.write() as session:
            row = find(session, service, caller, kind, object_id)
            store(row, row.properties | body.meta)
        return {"meta": body.meta}

    @router.delete(place, status_code=200, name=f"delete {kind} metadata item")
    def delete(object_id: str, key: str, caller: VolumeCaller, service: Service) -> Response:
        with service.db.write() as session:
            row = find(session, service, caller, kind, object_id)
            existing(row.properties, kind, key, object_id)
            store(row, {k: v for k, v in row.properties.items() if k != key})
        return Response(status_code=200)


def existing(values: dict[str, str], kind: str, key: str, object_id: str) -> str:
    if key not in values:
        what = kind.removesuffix("s").capitalize()
        raise ServiceError(404, f"{what} {object_id} has no metadata with key {key[:255]}.")
    return values[key]


for known in ("volumes", "snapshots"):
    add_routes(known)
    add_item_routes(known)
