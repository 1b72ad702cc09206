"""Names that must be free, and settings that would be accepted without effect: refused before anything is written."""

from typing import Any

from sqlalchemy import select
from sqlmodel import Session, col

from api.identity.errors import Conflict, NotBuilt

WITHOUT_EFFECT = {
    "ignore_change_password_upon_first_use",
    "ignore_password_expiry",
    "ignore_user_inactivity",
}
"""Exemptions from rules that this service does not have: harmless to accept."""


def ensure_free(session: Session, kind: str, wanted: Any) -> None:
    """409 when another row of `wanted`'s table has its name (in its domain, where there is one)."""
    table = type(wanted)
    query = select(table.id).where(col(table.name) == wanted.name, col(table.id) != wanted.id)
    where = ""
    if hasattr(wanted, "domain_id"):
        query = query.where(col(table.domain_id) == wanted.domain_id)
        where = f" at domain ID {wanted.domain_id}"
    with session.no_autoflush:
        if session.execute(query).first() is not None:
            raise Conflict(kind, f"Duplicate entry found with name {wanted.name}{where}")


def checked_options(options: dict[str, Any], known: frozenset[str] = frozenset()) -> dict[str, Any]:
    """`options` that are on; 501 for one whose meaning is not built."""
    on = {name: value for name, value in options.items() if value}
    if unknown := sorted(on.keys() - known - WITHOUT_EFFECT):
        raise NotBuilt(f"Option {unknown[0][:64]}")
    return on
