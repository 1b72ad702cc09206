"""Words that users stick to resources."""

from sqlalchemy import delete
from sqlmodel import Session, col, select

from api.network.model import limits
from infra.tables.network import Standard, Tag


def names(session: Session, row: Standard) -> list[str]:
    return list(session.exec(select(Tag.tag).where(Tag.resource_id == row.id).order_by(Tag.tag)))


def replace(session: Session, row: Standard, wanted: list[str]) -> None:
    forget(session, row.id)
    add(session, row, wanted)


def add(session: Session, row: Standard, wanted: list[str]) -> None:
    """Tags that the resource has already are left alone; 400 when it would have too many."""
    known = set(names(session, row)) if wanted else set()
    limits.check("tags", known.union(wanted), str(row.__tablename__).removesuffix("s"))
    session.add_all(Tag(resource_id=row.id, tag=tag) for tag in dict.fromkeys(wanted) if tag not in known)


def remove(session: Session, row: Standard, tag: str) -> bool:
    found = session.exec(delete(Tag).where(col(Tag.resource_id) == row.id, col(Tag.tag) == tag))
    return bool(found.rowcount)


def forget(session: Session, *resource_ids: str) -> None:
    """Deletes all tags of resources; they have no foreign key, since they belong to every kind."""
    session.exec(delete(Tag).where(col(Tag.resource_id).in_(resource_ids)))
