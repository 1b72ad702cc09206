"""Notices, in a writing transaction, changes of what hosts carry out: no writer can forget to tell them."""

from collections.abc import Callable

from sqlalchemy import Delete, Insert, Update, event, inspect
from sqlalchemy.orm import ORMExecuteState, UOWTransaction
from sqlmodel import Session

from infra.tables.network import Base, Ledger, Quota, Tag

UNSEEN_TABLES: tuple[type[Base], ...] = (Ledger, Quota, Tag)
"""Tables of which hosts get nothing."""
UNSEEN = frozenset(
    {
        "name",
        "description",
        "revision_number",
        "updated_at",
        "status",
        "seen_at",
        "profile",
        "vnic_type",
        "device_owner",
        "next_number",
    }
)
"""Attributes of the other tables of which hosts get nothing."""


def watch(session: Session) -> Callable[[], bool]:
    """Whether anything that hosts carry out was changed in `session` since this call."""
    seen: list[bool] = []

    def flushing(session: Session, _context: UOWTransaction, _objects: object) -> None:
        rows = [*session.new, *session.deleted]
        if any(not isinstance(row, UNSEEN_TABLES) for row in rows) or any(map(_matters, session.dirty)):
            seen.append(True)

    def executing(state: ORMExecuteState) -> None:
        if isinstance(state.statement, (Insert, Update, Delete)) and _statement_matters(state.statement):
            seen.append(True)

    event.listen(session, "before_flush", flushing)
    event.listen(session, "do_orm_execute", executing)
    return lambda: bool(seen)


def _matters(row: object) -> bool:
    if isinstance(row, UNSEEN_TABLES):
        return False
    state = inspect(row)
    assert state is not None
    return any(one.history.has_changes() for one in state.attrs if one.key not in UNSEEN)


def _statement_matters(statement: Insert | Update | Delete) -> bool:
    if str(statement.table) in {str(table.__tablename__) for table in UNSEEN_TABLES}:
        return False
    if isinstance(statement, Update):
        values = statement.compile().params.keys() & set(statement.table.columns.keys())
        return bool(values - UNSEEN)
    return True
