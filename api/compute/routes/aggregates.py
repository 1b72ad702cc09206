"""Host aggregates (Compute API reference, "Host aggregates"); the zone that one gives is its hosts' zone."""

import uuid
from typing import Any

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from sqlmodel import Session

from api.common import parsers
from api.compute.call import Body, Call, ComputeCall, versions
from api.compute.errors import bad_request, not_implemented
from api.compute.records import aggregates
from api.compute.records.aggregates import ZONE
from api.compute.schemas.grouping import (
    AggregateCreate,
    AggregateMetadata,
    AggregateUpdate,
    CacheImages,
    HostOfAggregate,
)
from api.compute.validation import check, check_query, parse
from api.compute.views import shapes
from api.compute.views.spans import at
from api.compute.views.states import micro
from infra.tables.compute import now
from infra.tables.grouping import Aggregate

router = APIRouter()
RULE = "os_compute_api:os-aggregates:"


@router.get("/os-aggregates")
def list_aggregates(call: Call) -> Response:
    """Host aggregates with their hosts and metadata."""
    check_query(call, since=102)
    call.enforce(RULE + "index")
    with call.db.read() as session:
        shown = [_view(call, session, aggregate) for aggregate in aggregates.listed(session)]
    return JSONResponse({"aggregates": shown})


@router.post("/os-aggregates")
def create_aggregate(call: Call, body: Body) -> Response:
    """Make a host aggregate, which may give its hosts an availability zone."""
    call.enforce(RULE + "create")
    wish = parse(call, AggregateCreate, body, "aggregate")
    with call.db.write() as session:
        aggregate = Aggregate(uuid=str(uuid.uuid4()), name=wish.name, zone=wish.availability_zone)
        aggregates.create(session, aggregate)
        shown = _view(call, session, aggregate)
    return JSONResponse({"aggregate": {name: shown[name] for name in shown if name not in ("hosts", "metadata")}})


@router.get("/os-aggregates/{aggregate_id}")
def show_aggregate(call: Call, aggregate_id: str) -> Response:
    """One host aggregate."""
    check_query(call, since=102)
    call.enforce(RULE + "show")
    with call.db.read() as session:
        return _single(call, session, aggregates.find(session, _number(aggregate_id)))


@router.put("/os-aggregates/{aggregate_id}")
def update_aggregate(call: Call, aggregate_id: str, body: Body) -> Response:
    """Change the name, or the zone that the aggregate gives."""
    call.enforce(RULE + "update")
    wish = parse(call, AggregateUpdate, body, "aggregate")
    if not wish.model_fields_set:
        raise bad_request("Invalid input for field/attribute aggregate. {} is not valid under any of the given schemas")
    with call.db.write() as session:
        aggregate = aggregates.find(session, _number(aggregate_id))
        if "name" in wish.model_fields_set:
            aggregates.rename(session, aggregate, wish.name)
        if ZONE in wish.model_fields_set:
            aggregates.set_zone(session, aggregate, wish.availability_zone, "update")
        return _single(call, session, aggregate)


@router.delete("/os-aggregates/{aggregate_id}")
def delete_aggregate(call: Call, aggregate_id: str) -> Response:
    """Remove a host aggregate that has no hosts."""
    call.enforce(RULE + "delete")
    with call.db.write() as session:
        aggregates.remove(session, aggregates.find(session, _number(aggregate_id)))
    return Response(status_code=200)


@router.post("/os-aggregates/{aggregate_id}/action")
def change_aggregate(call: Call, aggregate_id: str, body: Body) -> Response:
    """Add a host, remove one, set metadata (add_host, remove_host, set_metadata)."""
    name = next(iter(body), "")
    if name not in ("add_host", "remove_host", "set_metadata"):
        raise bad_request(f"There is no such action: {name[:64]}")
    call.enforce(RULE + name)
    with call.db.write() as session:
        if name == "set_metadata":
            details = parse(call, AggregateMetadata, body, name).metadata
            aggregate = aggregates.find(session, _number(aggregate_id))
            _describe(session, aggregate, details)
            return _single(call, session, aggregate)
        host = parse(call, HostOfAggregate, body, name).host
        aggregate = aggregates.find(session, _number(aggregate_id))
        (aggregates.add_host if name == "add_host" else aggregates.remove_host)(session, aggregate, host)
        return _single(call, session, aggregate)


@router.post("/os-aggregates/{aggregate_id}/images", status_code=202, dependencies=[versions(81)])
def cache_images(call: Call, aggregate_id: str, body: Body) -> Response:
    """Not built: hosts fetch an image when a server of theirs needs it (501, after Nova's own checks)."""
    call.enforce("compute:aggregates:images")
    ids = [image.id for image in check(CacheImages, body, "").cache]
    if len(set(ids)) < len(ids):
        raise bad_request("Duplicate images in request")
    with call.db.read() as session:
        aggregates.find(session, _number(aggregate_id))
    raise not_implemented("Fetching images to an aggregate's hosts beforehand is not implemented.")


def _describe(session: Session, aggregate: Aggregate, details: dict[str, str | None]) -> None:
    if ZONE in details:
        aggregates.set_zone(session, aggregate, details[ZONE], "update metadata of")
    changed = {**aggregate.details, **{name: value for name, value in details.items() if name != ZONE}}
    aggregate.details = {name: value for name, value in changed.items() if value is not None}
    aggregate.updated_at = now()


def _number(aggregate_id: str) -> int:
    try:
        return parsers.whole(aggregate_id, least=-parsers.INT32)
    except parsers.Malformed:
        raise bad_request("Invalid input received: id must be an integer") from None


def _single(call: ComputeCall, session: Session, aggregate: Aggregate) -> Response:
    return JSONResponse({"aggregate": _view(call, session, aggregate)})


def _view(call: ComputeCall, session: Session, aggregate: Aggregate) -> dict[str, Any]:
    shown = {
        "id": aggregate.id,
        "name": aggregate.name,
        ZONE: aggregate.zone,
        "hosts": aggregates.hosts_of(session, aggregate.id),
        "metadata": {**aggregate.details, **({ZONE: aggregate.zone} if aggregate.zone else {})},
        "created_at": micro(aggregate.created_at),
        "updated_at": micro(aggregate.updated_at),
        "deleted": False,
        "deleted_at": None,
        "uuid": aggregate.uuid,
    }
    return at(call.version, shapes.Aggregate, shown)
