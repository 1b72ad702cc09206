"""Server groups: who is in one, and who may come in (tables server_groups and instances)."""

from typing import Any

from sqlalchemy import Connection, Row, func, select, text
from sqlmodel import Session

from infra.contracts.errors import hopeless
from infra.contracts.placement import Company
from infra.contracts.requests import BootRequest
from infra.database import Database
from infra.tables.compute import Allocation, Instance
from infra.tables.grouping import ServerGroup

groups, instances = ServerGroup.__table__, Instance.__table__  # type: ignore[attr-defined]
claims = Allocation.__table__  # type: ignore[attr-defined]


def missing(group_id: str) -> str:
    return f"Instance group {group_id} could not be found."


def members(store: Connection | Session, ids: list[str]) -> dict[str, list[str]]:
    """Group → its servers, deleted ones left out, in the order in which they came."""
    where = (instances.c.server_group_id.in_(ids), instances.c.deleted_at.is_(None))
    query = select(instances.c.server_group_id, instances.c.id).where(*where)
    found: dict[str, list[str]] = {}
    for row in store.execute(query.order_by(instances.c.created_at, instances.c.id)):
        found.setdefault(row.server_group_id, []).append(row.id)
    return found


def require_room(store: Connection, database: Database, req: BootRequest) -> None:
    """For a server that asks for a group: 400 when there is none (any more), 403 when it is full, in Nova's words."""
    if req.server_group is None:
        return
    if of(store, req.server_group) is None:
        raise hopeless(missing(req.server_group), code=400)
    take_turn(store, database, req.server_group)
    there = (instances.c.server_group_id == req.server_group, instances.c.deleted_at.is_(None))
    count = int(store.scalar(select(func.count()).select_from(instances).where(*there)) or 0)
    if 0 <= req.group_members <= count:
        raise hopeless("Quota exceeded, too many servers in group", code=403)


def of(store: Connection, group_id: str) -> Row[Any] | None:
    return store.execute(select(groups).where(groups.c.id == group_id)).one_or_none()


def company_of(store: Connection, database: Database, instance_id: str, group_id: str | None) -> Company | None:
    """The group that a server is placed by, seen by one transaction at a time; None for a server without one, or whose
    group is gone."""
    group = of(store, group_id) if group_id else None
    if group is None:
        return None
    take_turn(store, database, group.id)
    there = (instances.c.server_group_id == group.id, instances.c.id != instance_id, instances.c.deleted_at.is_(None))
    on_hosts = select(instances.c.id).join(claims, claims.c.instance_id == instances.c.id).where(*there).distinct()
    others = list(store.scalars(on_hosts))
    return Company(policy=group.policy, most=group.rules.get("max_server_per_host", 1), members=others)


def take_turn(store: Connection, database: Database, group_id: str) -> None:
    """Until the transaction's end nobody else counts this group's servers, or places one."""
    if not database.sqlite:
        store.execute(text("SELECT pg_advisory_xact_lock(hashtext(:g))"), {"g": group_id})
