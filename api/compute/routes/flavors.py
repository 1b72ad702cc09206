"""Flavors (Compute API reference, "Flavors")."""

import uuid
from typing import Any

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from sqlalchemy import ColumnElement

from api.common import parsers
from api.compute.call import Body, Call, ComputeCall, versions
from api.compute.errors import bad_request
from api.compute.paging import Page
from api.compute.records import flavors
from api.compute.records.search import bounded
from api.compute.schemas.flavors import FlavorCreate, FlavorUpdate
from api.compute.validation import check_query, parse
from api.compute.views.flavors import FlavorView
from infra.tables.compute import Flavor

router = APIRouter()
RULE = "os_compute_api:os-flavor-manage:"


@router.get("/flavors")
def list_flavors(call: Call) -> Response:
    """Ids and names of flavors."""
    return _listing(call, detail=False)


@router.get("/flavors/detail")
def list_flavors_detail(call: Call) -> Response:
    """Flavors with all attributes."""
    return _listing(call, detail=True)


def _listing(call: ComputeCall, *, detail: bool) -> Response:
    names = ("name",) if call.since(102) else ()
    check_query(call, "limit", "marker", "is_public", "minRam", "minDisk", "sort_key", "sort_dir", *names)
    page, query = Page.of(call), call.query
    sort_key, direction = query.get("sort_key", "flavorid"), query.get("sort_dir", "asc")
    gone = sort_key == "rxtx_factor" and call.since(102)
    if sort_key not in flavors.SORTABLE or gone or direction not in ("asc", "desc"):
        raise bad_request("Invalid input for query parameters sort_key or sort_dir. It is not one of the known values")
    with call.db.read() as session:
        rows = flavors.listed(session, _clauses(call, query), sort_key, descending=direction == "desc")
    if names and "name" in query:
        matches = bounded(query["name"]).search
        rows = [row for row in rows if matches(row.name)]
    shown = page.cut(rows, "id", "marker [{}] not found")
    view = FlavorView(call)
    body: dict[str, Any] = {"flavors": [view.detail(row) if detail else view.basic(row) for row in shown]}
    if links := page.links(call, "/flavors/detail" if detail else "/flavors", [row.id for row in shown]):
        body["flavors_links"] = links
    return JSONResponse(body)


def _clauses(call: ComputeCall, query: dict[str, str]) -> list[ColumnElement[bool]]:
    columns = flavors.flavors.c
    clauses = [flavors.visible(call)]
    if call.context.is_admin:
        wanted = query.get("is_public", "true").strip().lower()
        if wanted != "none":
            try:
                clauses.append(columns.is_public.is_(parsers.boolean(wanted)))
            except parsers.Malformed:
                raise bad_request(f"Invalid is_public filter [{wanted[:32]}]") from None
    else:
        clauses.append(columns.disabled.is_(False))
    for name, column in (("minRam", columns.ram), ("minDisk", columns.disk)):
        if name in query:
            try:
                least = parsers.whole(query[name].removeprefix("-"))
                clauses.append(column >= (-least if query[name].startswith("-") else least))
            except parsers.Malformed:
                raise bad_request(f"Invalid {name} filter [{query[name][:32]}]") from None
    return clauses


@router.post("/flavors")
def create_flavor(call: Call, body: Body) -> Response:
    """Make a flavor; `id` null or `auto` gives it a UUID."""
    call.enforce(RULE + "create")
    wish = parse(call, FlavorCreate, body, "flavor")
    values = wish.model_dump()
    if values["id"] in (None, "auto"):
        values["id"] = str(uuid.uuid4())
    flavor = Flavor(**values)
    with call.db.write() as session:
        flavors.create(session, flavor)
    return _single(call, flavor)


@router.get("/flavors/{flavor_id}")
def show_flavor(call: Call, flavor_id: str) -> Response:
    """One flavor by its id; a name is not found here (404)."""
    check_query(call, since=102)
    with call.db.read() as session:
        return _single(call, flavors.find(session, call, flavor_id))


@router.put("/flavors/{flavor_id}", dependencies=[versions(55)])
def update_flavor(call: Call, flavor_id: str, body: Body) -> Response:
    """Change the description."""
    call.enforce(RULE + "update")
    wish = parse(call, FlavorUpdate, body, "flavor")
    with call.db.write() as session:
        flavor = flavors.find(session, call, flavor_id)
        flavor.description = wish.description
    return _single(call, flavor)


@router.delete("/flavors/{flavor_id}", status_code=202)
def delete_flavor(call: Call, flavor_id: str) -> Response:
    """Remove a flavor; servers keep what they were made with."""
    call.enforce(RULE + "delete")
    with call.db.write() as session:
        flavors.remove(session, flavor_id)
    return Response(status_code=202)


def _single(call: ComputeCall, flavor: Flavor) -> Response:
    return JSONResponse({"flavor": FlavorView(call).detail(flavor)})
