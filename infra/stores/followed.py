"""Records as a look at other services reads them: in pages, of servers at rest, only what is compared."""

from collections.abc import Iterable, Iterator
from datetime import timedelta

from sqlalchemy import select

from infra.contracts.following import ServerAtRest
from infra.contracts.states import at_rest
from infra.database import Database
from infra.stores.actions import actions
from infra.tables.compute import Instance, now

instances = Instance.__table__  # type: ignore[attr-defined]
COLUMNS = [
    instances.c[name]
    for name in ("id", "project_id", "user_id", "vm_state", "task_state", "host", "networks", "volumes")
]
PAGE = 500
EASES = frozenset(("stop", "start", "reboot", "unpause", "resume"))
"""After one of these a guest may give back what it has kept, or is off."""


class FollowedRecords:
    def __init__(self, database: Database) -> None:
        self._db = database

    def at_rest(self, only: Iterable[str] | None = None) -> Iterator[ServerAtRest]:
        """Every server with ports or volumes that is at rest, or those of `only`."""
        last, living = "", select(*COLUMNS).where(instances.c.deleted_at.is_(None))
        if only is not None:
            living = living.where(instances.c.id.in_(sorted(only)))
        while True:
            with self._db.look() as store:
                page = living.where(instances.c.id > last).order_by(instances.c.id).limit(PAGE)
                rows = store.execute(page).all()
            for row in rows:
                if (row.networks or row.volumes) and at_rest(row.vm_state, row.task_state):
                    yield ServerAtRest(
                        row.id,
                        row.project_id,
                        row.user_id,
                        row.vm_state,
                        row.host or "",
                        list(row.networks),
                        list(row.volumes or ()),
                    )
            if len(rows) < PAGE:
                return
            last = rows[-1].id

    def failed_lately(self, action: str, ids: Iterable[str], within: timedelta) -> set[str]:
        """Those of `ids` whose last `action` failed, and began within that time, unless it may go better since."""
        columns = [actions.c[name] for name in ("instance_id", "action", "message", "finish_time")]
        query = select(*columns).where(actions.c.instance_id.in_(sorted(ids)), actions.c.start_time > now() - within)
        failed: set[str] = set()
        with self._db.look() as store:
            for row in store.execute(query.order_by(actions.c.start_time)):
                if row.action == action and row.message:
                    failed.add(row.instance_id)
                elif row.action in EASES and row.finish_time and not row.message:
                    failed.discard(row.instance_id)
        return failed
