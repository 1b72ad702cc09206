"""Rows of server groups as the API reads and writes them."""

from sqlalchemy import ColumnElement, select, update
from sqlmodel import Session

from api.compute.call import ComputeCall
from api.compute.errors import bad_request, forbidden, not_found
from api.compute.records import quotas
from infra.stores import usage
from infra.stores.server_groups import groups, instances, missing
from infra.tables.grouping import ServerGroup


def listed(session: Session, where: ColumnElement[bool] | None = None) -> list[ServerGroup]:
    """In the order in which they were made."""
    query = select(ServerGroup).order_by(groups.c.created_at, groups.c.id)
    return list(session.scalars(query if where is None else query.where(where)))


def seen(session: Session, call: ComputeCall, group_id: str) -> ServerGroup:
    """404 in Nova's words for one that is not there, or another project's unless an admin asks."""
    found = session.get(ServerGroup, group_id)
    if found is None or (found.project_id != call.context.project_id and not call.context.is_admin):
        raise not_found(missing(group_id[:64]))
    return found


def for_boot(session: Session, call: ComputeCall, group_id: str | None) -> str | None:
    """The hint `group`; 400 for one that is not there, or another project's."""
    if group_id is None:
        return None
    found = session.get(ServerGroup, group_id)
    if found is None or (found.project_id != call.context.project_id and not call.context.is_admin):
        raise bad_request(missing(group_id))
    return found.id


def create(session: Session, group: ServerGroup) -> None:
    """403 in Nova's words when the project has as many as it may."""
    limit = quotas.limits(session, group.project_id)["server_groups"]
    if 0 <= limit <= usage.used(session, group.project_id)["server_groups"]:
        raise forbidden("Quota exceeded, too many server groups.")
    session.add(group)


def remove(session: Session, group: ServerGroup) -> None:
    """Its servers stay where they are, and belong to none."""
    session.execute(update(instances).where(instances.c.server_group_id == group.id).values(server_group_id=None))
    session.delete(group)
