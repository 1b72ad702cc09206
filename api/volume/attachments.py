"""Routes of attachments (since 3.27). Source: Block Storage API v3, "Attachments (attachments)"."""

from typing import Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse
from sqlmodel import col, select

from api.common.context import Context
from api.common.errors import ServiceError
from api.volume import attaching, filters, paging, views
from api.volume.errors import NOT_FOUND
from api.volume.listing import boolean
from api.volume.schemas import AttachmentCreate, AttachmentUpdate
from api.volume.service import Service, Version, VolumeCaller, VolumeService, since
from infra.contracts.volume import COMPLETE_TOO
from infra.tables.volume import Attachment

router = APIRouter(prefix="/attachments", dependencies=[Depends(since(3, 27))])
COLUMNS = {"instance_id": "instance_id", "volume_id": "volume_id", "status": "status", "attach_status": "status"}
SORT_KEYS = ("id", "volume_id", "instance_id", "status", "created_at", "attached_at")


def view(service: VolumeService, caller: Context, row: Attachment) -> dict[str, Any]:
    """The export's name is shown to services, and to the owner when no server is behind the attachment; a compute host
    is told its own only."""
    told = row.connector and (row.instance_id is None or service.policy.allows(caller, "volume:attachment_of_server"))
    host = attaching.host_of(caller)
    told = told and host in (None, (row.connector or {}).get("host"))
    return views.attachment(row, service.exports.connection(row) if told else {})


@router.post("", status_code=200)
def create(
    request: Request, body: AttachmentCreate, caller: VolumeCaller, service: Service, version: Version
) -> Response:
    """Make one."""
    # As what a detach answers, written in the thread that made it: FastAPI would take a second turn of threads.
    wanted = body.attachment
    if wanted.mode and version < (3, 54):
        words = "Additional properties are not allowed ('mode' was unexpected)"
        raise ServiceError(400, f"Invalid input for field/attribute attachment. {words}")
    row = attaching.reserve(service, caller, wanted, complete=completes(request, caller, service))
    return JSONResponse({"attachment": view(service, caller, row)})


def completes(request: Request, caller: Context, service: VolumeService) -> bool:
    """Whether what this request connects is complete by that: only who may complete servers' attachments says so."""
    return COMPLETE_TOO in request.headers and service.policy.allows(caller, "volume:attachment_of_server")


@router.get("")
def index(request: Request, caller: VolumeCaller, service: Service) -> dict[str, Any]:
    return {"attachments": [views.attachment_summary(row) for row in find(request, caller, service)]}


@router.get("/detail")
def detail(request: Request, caller: VolumeCaller, service: Service) -> dict[str, Any]:
    return {"attachments": [view(service, caller, row) for row in find(request, caller, service)]}


def find(request: Request, caller: Context, service: VolumeService) -> list[Attachment]:
    given = dict(request.query_params)
    query = select(Attachment).where(col(Attachment.legacy).is_(False))
    every = boolean(given.get("all_tenants") or "0", "all_tenants")
    if not (every and service.policy.allows(caller, "volume:get_all_projects")):
        query = query.where(Attachment.project_id == caller.project_id)
    elif wanted := given.get("project_id"):
        query = query.where(Attachment.project_id == wanted)
    asked = filters.sort_out("attachment", given, request.state.version, caller.is_admin)
    if asked is None:
        return []
    for name, value in asked.items():
        column = COLUMNS.get(name, name)
        if hasattr(Attachment, column):
            query = query.where(getattr(Attachment, column) == value)
    with service.db.read() as session:
        rows = session.exec(query).all()
    return paging.page(given, rows, SORT_KEYS, NOT_FOUND)[0]


@router.get("/{attachment_id}")
def show(attachment_id: str, caller: VolumeCaller, service: Service) -> dict[str, Any]:
    with service.db.read() as session:
        row = service.records.attachment(session, caller, attachment_id)
    return {"attachment": view(service, caller, row)}


@router.put("/{attachment_id}")
def update(
    request: Request, attachment_id: str, body: AttachmentUpdate, caller: VolumeCaller, service: Service
) -> dict[str, Any]:
    complete = completes(request, caller, service)
    row = attaching.connect(service, caller, attachment_id, body.attachment.connector, complete=complete)
    return {"attachment": view(service, caller, row)}


@router.post("/{attachment_id}/action", status_code=204)
def act(attachment_id: str, body: dict[str, Any], caller: VolumeCaller, service: Service, version: Version) -> Response:
    if list(body) == ["os-complete"] and version < (3, 44):
        raise ServiceError(404, "The resource could not be found.")
    if list(body) != ["os-complete"]:
        raise ServiceError(400, f"There is no such action: {', '.join(list(body)[:1])[:64]}")
    attaching.complete(service, caller, attachment_id)
    return Response(status_code=204)


@router.delete("/{attachment_id}")
def delete(attachment_id: str, caller: VolumeCaller, service: Service) -> Response:
    rest = attaching.detach(service, caller, attachment_id)
    return JSONResponse({"attachments": [views.attachment_summary(row) for row in rest]})
