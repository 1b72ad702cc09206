"""Routes of user messages: what went wrong with a volume last. Source: Block Storage API v3, "User messages"."""

import uuid
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from fastapi import APIRouter, Depends, Request, Response
from sqlmodel import col, select

from api.common.context import Context
from api.common.errors import ServiceError
from api.volume import filters, paging
from api.volume.service import Service, VolumeCaller, VolumeService, since
from api.volume.views import links, moment
from infra.tables.volume import Volume

router = APIRouter(prefix="/messages", dependencies=[Depends(since(3, 3))])
SORT_KEYS = (*filters.RESOURCES["message"], "id", "created_at")
MISSING = "Message {} could not be found."


@dataclass(frozen=True)
class Told:
    """One volume's fault, as a row of a list; `created_at` and `user_message` change with each new one."""

    id: str
    resource_uuid: str
    user_message: str | None
    created_at: datetime | None
    event_id: str = "VOLUME_VOLUME_001_001"
    message_level: str = "ERROR"
    request_id: str | None = None
    resource_type: str = "VOLUME"


def told(row: Volume) -> Told:
    return Told(str(uuid.uuid5(uuid.UUID(row.id), "fault")), row.id, row.fault, row.updated_at)


def view(service: VolumeService, row: Told) -> dict[str, Any]:
    shown = {"created_at": moment(row.created_at), "guaranteed_until": None}
    return asdict(row) | shown | {"links": links(service.settings, "messages", row.id)}


def _mine(caller: Context) -> Any:
    """Volumes of which the caller may hear: administrators of all."""
    query = select(Volume).where(col(Volume.fault).is_not(None))
    return query if caller.is_admin else query.where(Volume.project_id == caller.project_id)


@router.get("", name="messages")
def index(request: Request, caller: VolumeCaller, service: Service) -> dict[str, Any]:
    """List; filtered, sorted and paged since 3.5."""
    version, given = request.state.version, dict(request.query_params)
    with service.db.read() as session:
        rows = [told(row) for row in session.exec(_mine(caller)).all()]
    if version < (3, 5):
        return {"messages": [view(service, row) for row in paging.page({}, rows, SORT_KEYS, MISSING)[0]]}
    wanted = filters.sort_out("message", given, version, caller.is_admin)
    rows = [row for row in rows if wanted is not None and all(getattr(row, k) == v for k, v in wanted.items())]
    rows, more = paging.page(given, rows, SORT_KEYS, MISSING)
    following = {"messages_links": paging.next_link(request, rows[-1].id)} if more else {}
    return {"messages": [view(service, row) for row in rows], **following}


@router.get("/{message_id}", name="show message")
def show(message_id: str, caller: VolumeCaller, service: Service) -> dict[str, Any]:
    with service.db.read() as session:
        rows = [told(row) for row in session.exec(_mine(caller)).all()]
    for row in rows:
        if row.id == message_id:
            return {"message": view(service, row)}
    raise ServiceError(404, MISSING.format(message_id[:64]))


@router.delete("/{message_id}", status_code=204, name="delete message")
def delete(message_id: str, caller: VolumeCaller, service: Service) -> Response:
    """The volume keeps its status; only the words about it go."""
    service.policy.enforce(caller, "message:delete")
    with service.db.write() as session:
        for row in session.exec(_mine(caller)).all():
            if told(row).id == message_id:
                row.fault = None
                return Response(status_code=204)
    raise ServiceError(404, MISSING.format(message_id[:64]))
