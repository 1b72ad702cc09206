"""The password that a guest chose and told, once, sealed as it told it."""

from cryptography.exceptions import InvalidTag
from sqlalchemy import select, update
from sqlmodel import Session

from infra.codec import KeyRing
from infra.tables.compute import Instance

table = Instance.__table__  # type: ignore[attr-defined]


def told(session: Session, ring: KeyRing, instance_id: str) -> str:
    return opened(ring, session.scalar(select(table.c.sealed_password).where(table.c.id == instance_id)))


def opened(ring: KeyRing, sealed: str | None) -> str:
    """ "" for nothing, and for what cannot be opened any more."""
    try:
        return ring.unseal(sealed) if sealed else ""
    except (KeyError, ValueError, InvalidTag):
        return ""


def tell(session: Session, instance_id: str, sealed_password: str) -> bool:
    """Keep it, unless there is one: False."""
    untold = (table.c.id == instance_id, table.c.sealed_password.is_(None), table.c.deleted_at.is_(None))
    done = session.execute(update(table).where(*untold).values(sealed_password=sealed_password))
    return bool(done.rowcount)  # type: ignore[attr-defined]


def clear(session: Session, instance_id: str) -> None:
    session.execute(update(table).where(table.c.id == instance_id).values(sealed_password=None))
