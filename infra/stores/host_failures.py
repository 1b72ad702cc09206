"""What hosts' builds came to: failures since the last success, for the scheduler (table compute_nodes)."""

from collections.abc import Iterable

from sqlalchemy import Connection, bindparam, select, update
from sqlmodel import Session

from infra.stores.actions import actions
from infra.tables.compute import ComputeNode, now

nodes = ComputeNode.__table__  # type: ignore[attr-defined]
BUILT = update(nodes).where(nodes.c.host == bindparam("at"), nodes.c.failed_builds > 0).values(failed_builds=0)


def count(
    store: Connection | Session, instance_id: str, request_id: str, failed: Iterable[str], built: str = ""
) -> None:
    """One more for each of `failed`, none for `built`. Only before the action's end is written, in its transaction:
    a step that runs again finds it ended and counts nothing."""
    if hosts := list(failed):
        this = actions.c.instance_id == instance_id, actions.c.request_id == request_id
        if store.scalar(select(actions.c.request_id).where(*this, actions.c.finish_time.is_(None))):
            more = {"failed_builds": nodes.c.failed_builds + 1, "failed_at": now()}
            store.execute(update(nodes).where(nodes.c.host.in_(hosts)).values(**more))
    if built:
        store.execute(BUILT, {"at": built})
