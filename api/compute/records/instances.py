"""Rows of single instances: reading one that the caller may see, and the small changes that need no workflow."""

from typing import Any

from sqlalchemy import Connection, RowMapping, Update, bindparam, select, update
from sqlmodel import Session

from api.common.parsers import is_uuid
from api.compute.call import ComputeCall
from api.compute.errors import is_locked, no_such_server, wrong_state
from infra.contracts import states
from infra.stores import resizes
from infra.tables.compute import Instance, InstanceAction, now

table = Instance.__table__  # type: ignore[attr-defined]
COLUMNS = [column for column in table.c if column.name not in ("sealed_request", "sealed_password", "parked")]
"""What the API shows; the sealed request is large and nobody's to see."""
BY_ID = select(*COLUMNS).where(table.c.id == bindparam("server_id"))


def find(session: Session | Connection, call: ComputeCall, server_id: str, *, deleted: bool = False) -> RowMapping:
    """The row of a server of the caller's project (an admin's: of any); 404 in Nova's words otherwise."""
    if not is_uuid(server_id):
        raise no_such_server(server_id)
    row = session.execute(BY_ID, {"server_id": server_id}).mappings().one_or_none()
    if row is None or (row["deleted_at"] is not None and not deleted):
        raise no_such_server(server_id)
    if row["project_id"] != call.context.project_id and not call.context.is_admin:
        raise no_such_server(server_id)
    return row


def read(call: ComputeCall, server_id: str, rule: str = "", *, deleted: bool = False) -> RowMapping:
    """`find` by itself; 403 unless `rule` (a compute API rule) allows the caller."""
    with call.db.look() as store:
        row = find(store, call, server_id, deleted=deleted)
    if rule:
        call.enforce(f"os_compute_api:{rule}", project_id=row["project_id"], user_id=row["user_id"])
    return row


def require_unlocked(call: ComputeCall, row: RowMapping) -> None:
    """409 when the server is locked, unless an admin asks."""
    if row["locked"] and not call.context.is_admin:
        raise is_locked(row["id"])


TAGGABLE = frozenset(("active", "paused", "suspended", "stopped"))
"""vm_states of a server whose metadata and tags can be changed. Source: `update_instance_metadata` of Nova's compute
API, and its server_tags.py."""


def require_taggable(row: RowMapping, action: str) -> None:
    """409 in Nova's words for a server whose metadata and tags stay what they are."""
    if row["vm_state"] not in TAGGABLE:
        raise wrong_state(action, row["id"], "vm_state", row["vm_state"])


def change(session: Session, server_id: str, **values: Any) -> RowMapping:
    """Set columns of one living server; the row as it is then. 404 when it went away meanwhile."""
    changed = session.execute(_living(server_id).values(updated_at=now(), **values).returning(*COLUMNS))
    row = changed.mappings().one_or_none()
    if row is None:
        raise no_such_server(server_id)
    return row


def show_deleting(call: ComputeCall, row: RowMapping, reclaim_after_s: float) -> None:
    """What the delete's first step will show, from DELETE's answer on. Not of a server of which something was written
    since `row` was read: that is newer; nor of a busy one, whose operation has still to give way."""
    if row["task_state"]:
        return
    doing = states.deleting(reclaim_after_s, row["vm_state"], launched=bool(row["launched_at"]), host=row["host"])
    unchanged = (table.c.task_state.is_(None), table.c.updated_at == row["updated_at"])
    with call.db.transaction() as store:
        store.execute(_living(row["id"]).where(*unchanged).values(task_state=doing, updated_at=now()))


def _living(server_id: str) -> Update:
    return update(table).where(table.c.id == server_id, table.c.deleted_at.is_(None))


def record_action(session: Session, call: ComputeCall, row: RowMapping, action: str) -> None:
    """An action that is finished as soon as it is asked for, in the server's event list."""
    asks, moment = call.requester, now()
    if session.get(InstanceAction, (row["id"], asks.request_id)) is None:
        session.add(
            InstanceAction(
                instance_id=row["id"],
                request_id=asks.request_id,
                action=action,
                user_id=asks.user_id,
                project_id=asks.project_id,
                start_time=moment,
                finish_time=moment,
            )
        )


def lock(call: ComputeCall, row: RowMapping, reason: str | None) -> None:
    """The owner's of what is locked already changes nothing: an admin's lock is not the owner's to take over."""
    owns = row["project_id"] == call.context.project_id
    with call.db.write() as session:
        if owns and find(session, call, row["id"])["locked"]:
            return
        told = {"locked_reason": reason} if reason else {}
        change(session, row["id"], locked=True, locked_by="owner" if owns else "admin", **told)
        record_action(session, call, row, "lock")


def unlock(call: ComputeCall, row: RowMapping) -> None:
    """Another one's lock, an admin's above all, needs an admin: 403."""
    expected = "owner" if row["project_id"] == call.context.project_id else "admin"
    with call.db.write() as session:
        if find(session, call, row["id"])["locked_by"] not in (None, expected):
            call.enforce("os_compute_api:os-lock-server:unlock:unlock_override", project_id=row["project_id"])
        change(session, row["id"], locked=False, locked_by=None, locked_reason=None)
        record_action(session, call, row, "unlock")


def reset_state(call: ComputeCall, row: RowMapping, vm_state: str) -> None:
    """`row` is of the request's beginning: 409 when another operation has begun since, which would end in its own. A
    resize that waited can be neither confirmed nor reverted then: the server has its new flavor."""
    with call.db.write() as session:
        current = find(session, call, row["id"])
        if current["task_state"] not in (None, row["task_state"]):
            raise wrong_state("reset_state", row["id"], "task_state", current["task_state"])
        change(session, row["id"], vm_state=vm_state, task_state=None)
        resizes.give_up(session, row["id"])
        record_action(session, call, row, "reset_state")
