"""What was moved or resized (Compute API reference, "Migrations", "Server migrations")."""

from typing import Any

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse

from api.compute.call import Call, versions
from api.compute.errors import not_found
from api.compute.paging import MAX_LIMIT, Page
from api.compute.records import instances, migrations
from api.compute.records.actions import Window
from api.compute.validation import check_query
from api.compute.views.migrations import migration_view

router = APIRouter()
FILTERS = {"host": 1, "instance_uuid": 1, "source_compute": 1, "status": 1, "migration_type": 1}
FILTERS |= {"user_id": 80, "project_id": 80}
"""Query parameters and their first microversion."""


@router.get("/os-migrations")
def list_migrations(call: Call) -> Response:
    """Migrations, newest first; from 2.59 paged, and by the time of their last change."""
    call.enforce("os_compute_api:os-migrations:index")
    filters = [name for name, since in FILTERS.items() if call.since(since)]
    window = Window(Page(MAX_LIMIT, None))
    if call.since(59):
        before = ["changes-before"] if call.since(66) else []
        check_query(call, *filters, "hidden", "limit", "marker", "changes-since", *before, since=59)
        window = Window.of(call)
    wanted = {name: call.query[name] for name in filters if name in call.query}
    with call.db.read() as session:
        found = migrations.listed(session, wanted, window.page, window.since, window.before)
    body: dict[str, Any] = {"migrations": [migration_view(call, row) for row in found]}
    if call.since(59) and (links := window.page.links(call, "/os-migrations", [row["id"] for row in found])):
        body["migrations_links"] = links
    return JSONResponse(body)


@router.get("/servers/{server_id}/migrations", dependencies=[versions(23)])
def list_server_migrations(call: Call, server_id: str) -> Response:
    """Live migrations of a server that are under way: none, since they are not built."""
    check_query(call, since=102)
    instances.read(call, server_id, "servers:migrations:index")
    return JSONResponse({"migrations": []})


@router.get("/servers/{server_id}/migrations/{migration_id}", dependencies=[versions(23)])
def show_server_migration(call: Call, server_id: str, migration_id: str) -> Response:
    """404 in Nova's words for a migration that is no live migration under way; there are no others yet."""
    check_query(call, since=102)
    row = instances.read(call, server_id, "servers:migrations:show")
    found = None
    if migration_id.isdecimal() and len(migration_id) < 10:
        with call.db.read() as session:
            found = migrations.of_server(session, row["id"], int(migration_id))
    if found is None:
        raise not_found(f"In-progress live migration {migration_id[:64]} is not found for server {row['id']}.")
    raise not_found(f"Migration {migration_id} for server {row['id']} is not live-migration.")
