"""Rows of migrations with what their servers and hosts say of them."""

from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, Select, case, or_, select
from sqlmodel import Session

from api.compute.errors import bad_request
from api.compute.paging import Page
from infra.tables.compute import ComputeNode, Instance, MigrationRecord
from workflows.actions import ACTIONS

migrations, servers = MigrationRecord.__table__, Instance.__table__  # type: ignore[attr-defined]
nodes = ComputeNode.__table__  # type: ignore[attr-defined]
waits = migrations.c.status == "finished"
STATUS = case(
    (waits & servers.c.deleted_at.is_not(None), "confirmed"),
    (waits & (servers.c.task_state == ACTIONS["resize"].transition.doing), "migrating"),
    (waits & (servers.c.task_state == ACTIONS["confirmResize"].transition.doing), "confirming"),
    (waits & (servers.c.task_state == ACTIONS["revertResize"].transition.doing), "reverting"),
    else_=migrations.c.status,
)
"""What the operation that runs makes of a migration that waits; a delete confirms it, as in Nova."""
EQUAL = {
    "instance_uuid": migrations.c.instance_id,
    "source_compute": migrations.c.source_compute,
    "migration_type": migrations.c.migration_type,
    "status": STATUS,
    "user_id": migrations.c.user_id,
    "project_id": migrations.c.project_id,
}
"""Filters by one value."""


def rows() -> Select[Any]:
    joined = migrations.outerjoin(servers, servers.c.id == migrations.c.instance_id)
    joined = joined.outerjoin(nodes, nodes.c.host == migrations.c.dest_compute)
    columns = [column for column in migrations.c if column.name != "status"]
    return select(*columns, STATUS.label("status"), nodes.c.host_ip.label("dest_host")).select_from(joined)


def listed(
    session: Session, filters: dict[str, str], page: Page, since: datetime | None, before: datetime | None
) -> list[RowMapping]:
    """Newest first; 400 for an unknown marker."""
    query = rows().order_by(migrations.c.number.desc()).limit(page.limit)
    for name, value in filters.items():
        query = query.where(EQUAL[name] == value if name in EQUAL else _on(value))
    if since is not None:
        query = query.where(migrations.c.updated_at >= since)
    if before is not None:
        query = query.where(migrations.c.updated_at < before)
    if page.marker is not None:
        last = session.scalar(select(migrations.c.number).where(migrations.c.id == page.marker))
        if last is None:
            raise bad_request(f"Marker {page.marker[:64]} could not be found.")
        query = query.where(migrations.c.number < last)
    return list(session.execute(query).mappings())


def of_server(session: Session, server_id: str, number: int) -> RowMapping | None:
    mine = (migrations.c.instance_id == server_id, migrations.c.number == number)
    return session.execute(rows().where(*mine)).mappings().one_or_none()


def _on(host: str) -> Any:
    return or_(migrations.c.source_compute == host, migrations.c.dest_compute == host)
