"""Whether what a later request follows from still holds."""

from typing import Any

from sqlalchemy import Connection, select
from sqlmodel import Session

from infra.contracts.later import Due
from infra.contracts.requests import Cause
from infra.database import Database
from infra.stores.actions import actions
from infra.tables.compute import Instance

instances = Instance.__table__  # type: ignore[attr-defined]


class Causes:
    def __init__(self, database: Database) -> None:
        self._db = database

    def holds(self, due: Due) -> bool:
        """See `activities.later.Later.is_due`."""
        living = (instances.c.id == due.instance_id, instances.c.deleted_at.is_(None))
        with self._db.engine.connect() as store:
            found = store.execute(select(instances.c.id, instances.c.vm_state).where(*living)).one_or_none()
            return found is not None and holds(store, found, due.cause)


def holds(store: Connection | Session, server: Any, cause: Cause) -> bool:
    """`server`: its `id` and `vm_state`, read in the same transaction."""
    mine = (actions.c.instance_id == server.id, actions.c.action == cause.event)
    newest = select(actions.c.request_id).where(*mine).order_by(actions.c.start_time.desc()).limit(1)
    return bool(server.vm_state == cause.vm_state and store.scalar(newest) == cause.request_id)
