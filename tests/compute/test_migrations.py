"""Migrations as admins list them: fields by microversion, filters, pages, what an operation makes of their status."""

import uuid
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlmodel import delete

from infra.tables.compute import Instance, MigrationRecord
from tests.compute.conftest import Api, Cloud

DAY = datetime(2026, 1, 1)
FLAVORS = {"old_flavor": {"id": "7"}, "new_flavor": {"id": "bigger"}}


@pytest.fixture(autouse=True)
def none_at_first(cloud: Cloud) -> None:
    with cloud.database.write() as session:
        session.execute(delete(MigrationRecord))


def made(cloud: Cloud, demo: Api, number: int, server: str | None = None, **values: Any) -> MigrationRecord:
    moment = DAY + timedelta(days=number)
    about = {"source_compute": "node1", "dest_compute": "node1", "status": "finished", "old_vm_state": "active"}
    asks = {"user_id": demo.user_id, "project_id": demo.project_id, "request_id": f"req-{uuid.uuid4()}"}
    times = {"created_at": moment, "updated_at": moment}
    id = server or cloud.server(demo, vm_state="resized")
    row = MigrationRecord(
        **{"id": str(uuid.uuid4()), "number": number, "instance_id": id, **about, **asks, **times, **FLAVORS, **values}
    )
    with cloud.database.write() as session:
        session.add(row)
        session.flush()
        session.expunge(row)
    return row


def numbers(admin: Api, query: str = "", version: str = "2.80") -> list[int]:
    found = admin.get(f"/os-migrations{query}", version=version)["migrations"]
    return [each["id"] for each in found]


def test_fields_by_version(cloud: Cloud, admin: Api, demo: Api) -> None:
    row = made(cloud, demo, 1)
    shown = admin.get("/os-migrations", version="2.80")["migrations"][0]
    assert (shown["uuid"], shown["instance_uuid"], shown["user_id"]) == (row.id, row.instance_id, demo.user_id)
    assert (shown["old_instance_type_id"], shown["migration_type"]) == (7, "resize")
    assert 0 < shown["new_instance_type_id"] < 2**31
    for version, extra in (("2.1", set()), ("2.23", {"migration_type"}), ("2.59", {"migration_type", "uuid"})):
        keys = set(admin.get("/os-migrations", version=version)["migrations"][0])
        assert keys & {"migration_type", "uuid", "user_id", "project_id"} == extra


def test_filters(cloud: Cloud, admin: Api, demo: Api) -> None:
    first, _ = made(cloud, demo, 1), made(cloud, demo, 2, status="reverted", dest_compute="node2")
    made(cloud, demo, 3, user_id="another", project_id="theirs", migration_type="migration")
    assert numbers(admin) == [3, 2, 1]
    assert numbers(admin, f"?instance_uuid={first.instance_id}") == [1]
    assert numbers(admin, "?status=reverted") == [2]
    assert (numbers(admin, "?host=node2"), numbers(admin, "?source_compute=node2")) == ([2], [])
    assert numbers(admin, "?migration_type=migration") == [3]
    assert (numbers(admin, "?user_id=another"), numbers(admin, "?project_id=theirs&host=node1")) == ([3], [3])
    assert numbers(admin, "?user_id=another", "2.58") == [3, 2, 1], "not a filter before 2.80"
    since, before = "2026-01-03T00:00:00", "2026-01-03T12:00:00"
    assert (numbers(admin, f"?changes-since={since}"), numbers(admin, f"?changes-before={before}")) == ([3, 2], [2, 1])


def test_pages(cloud: Cloud, admin: Api, demo: Api) -> None:
    rows = [made(cloud, demo, number) for number in (1, 2, 3)]
    page = admin.get("/os-migrations?limit=2", version="2.59")
    assert [each["id"] for each in page["migrations"]] == [3, 2]
    assert f"marker={rows[1].id}" in page["migrations_links"][0]["href"]
    assert numbers(admin, f"?limit=2&marker={rows[1].id}", "2.59") == [1]
    assert numbers(admin, "?limit=1", "2.58") == [3, 2, 1]


def test_refusals(cloud: Cloud, admin: Api, demo: Api) -> None:
    demo.refused("GET", "/os-migrations", 403)
    assert admin.refused("GET", "/os-migrations?marker=nothing", 400, version="2.59") == (
        "Marker nothing could not be found."
    )
    for query, version in (
        ("limit=-1", "2.59"),
        ("changes-since=yesterday", "2.59"),
        ("changes-before=2026-01-01T00:00:00", "2.65"),
        ("user_id=x", "2.79"),
        ("changes-since=2026-01-02T00:00:00&changes-before=2026-01-01T00:00:00", "2.66"),
    ):
        admin.refused("GET", f"/os-migrations?{query}", 400, version=version)


@pytest.mark.parametrize(
    ("doing", "status"),
    [("resize_prep", "migrating"), ("resize_confirming", "confirming"), ("resize_reverting", "reverting")],
)
def test_what_runs_is_told(cloud: Cloud, admin: Api, demo: Api, doing: str, status: str) -> None:
    row = made(cloud, demo, 1)
    with cloud.database.write() as session:
        session.get_one(Instance, row.instance_id).task_state = doing
    assert admin.get("/os-migrations")["migrations"][0]["status"] == status
    assert numbers(admin, f"?status={status}") == [1] and numbers(admin, "?status=finished") == []


def test_a_delete_confirms(cloud: Cloud, admin: Api, demo: Api) -> None:
    row = made(cloud, demo, 1)
    with cloud.database.write() as session:
        session.get_one(Instance, row.instance_id).deleted_at = DAY
    assert admin.get("/os-migrations")["migrations"][0]["status"] == "confirmed"


def test_of_one_server(cloud: Cloud, admin: Api, demo: Api) -> None:
    """Nova shows live migrations there, while they are under way."""
    row = made(cloud, demo, 1)
    place = f"/servers/{row.instance_id}/migrations"
    assert admin.get(place, version="2.23") == {"migrations": []}
    demo.refused("GET", place, 403, version="2.23")
    words = admin.refused("GET", f"{place}/1", 404, version="2.23")
    assert words == f"Migration 1 for server {row.instance_id} is not live-migration."
    for number in ("2", "x", "9" * 30):
        words = admin.refused("GET", f"{place}/{number}", 404, version="2.23")
        assert words == f"In-progress live migration {number} is not found for server {row.instance_id}."
    admin.refused("GET", place, 404, version="2.22")
