"""What the servers of a project use, counted in the transaction that adds to it."""

from collections.abc import Callable, Mapping

from sqlalchemy import Connection, bindparam, func, select
from sqlmodel import Session

from infra.contracts.states import SOFT_DELETED
from infra.tables.compute import Instance
from infra.tables.grouping import ServerGroup

instances = Instance.__table__  # type: ignore[attr-defined]
groups = ServerGroup.__table__  # type: ignore[attr-defined]
SERVERS = select(func.count(), func.sum(instances.c.vcpus), func.sum(instances.c.memory_mb)).where(
    instances.c.project_id == bindparam("project"),
    instances.c.deleted_at.is_(None),
    instances.c.vm_state != SOFT_DELETED,
)
GROUPS = select(func.count()).select_from(groups).where(groups.c.project_id == bindparam("project"))
RequireRoom = Callable[[Mapping[str, int], Mapping[str, int], Mapping[str, int]], None]
"""(limits, used, more), see `activities.quota.require_room`."""


def used(store: Connection | Session, project_id: str) -> dict[str, int]:
    """Instances, cores and ram (MiB) of the project's servers, those in ERROR included and those that are deleted
    softly not, and its server groups."""
    mine = {"project": project_id}
    count, cores, ram = store.execute(SERVERS, mine).one()
    of_servers = store.scalar(GROUPS, mine) or 0
    return {"instances": count, "cores": int(cores or 0), "ram": int(ram or 0), "server_groups": of_servers}
