"""Records of servers at rest that a host has a claim on, for what operations left of them there."""

from collections.abc import Callable, Mapping

from sqlalchemy import Connection, select
from sqlmodel import Session

from infra.contracts.left import Fate, Left, Standing
from infra.contracts.states import at_rest
from infra.stores.actions import actions
from infra.tables.compute import Allocation, Instance

Judge = Callable[[str, str, str, Mapping[str, bool]], Fate | None]
instances, claims = Instance.__table__, Allocation.__table__  # type: ignore[attr-defined]


def standings(store: Connection | Session, host: str, left: Left, fate: Judge) -> dict[str, Standing]:
    """Of a server that is at work, deleted, not this host's or unknown, nothing is said."""
    columns = [instances.c[name] for name in ("id", "vm_state", "task_state", "flavor", "local_disks")]
    mine = (claims.c.consumer_id == instances.c.id) & (claims.c.host == host)
    query = select(*columns, claims.c.attempt).select_from(instances.join(claims, mine))
    query = query.where(instances.c.id.in_(sorted(left)), instances.c.deleted_at.is_(None))
    found = {row.id: row for row in store.execute(query) if at_rest(row.vm_state, row.task_state)}
    ended = _ended(store, {id: left[id] for id in found})
    return {
        id: Standing(
            instance_id=id,
            attempt=row.attempt,
            vm_state=row.vm_state,
            flavor=row.flavor,
            local_disks=row.local_disks,
            fates={
                name: said
                for name, request_id in left[id].items()
                if (said := fate(name, request_id, row.vm_state, ended.get(id, {}))) is not None
            },
        )
        for id, row in found.items()
    }


def _ended(store: Connection | Session, left: Left) -> dict[str, dict[str, bool]]:
    """Server → request → whether its action succeeded, of actions that are over."""
    requests = {request_id for names in left.values() for request_id in names.values() if request_id}
    found: dict[str, dict[str, bool]] = {}
    if requests:
        query = select(actions.c.instance_id, actions.c.request_id, actions.c.message).where(
            actions.c.instance_id.in_(sorted(left)),
            actions.c.request_id.in_(sorted(requests)),
            actions.c.finish_time.is_not(None),
        )
        for row in store.execute(query):
            found.setdefault(row.instance_id, {})[row.request_id] = row.message is None
    return found
