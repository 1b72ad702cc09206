"""One-time rights to consoles; only the token's hash is kept."""

import hashlib
import secrets
from datetime import timedelta

from sqlalchemy import delete

from infra.database import Database
from infra.tables.compute import ConsoleToken, now

LIFETIME = timedelta(minutes=10)
table = ConsoleToken.__table__  # type: ignore[attr-defined]


def digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def grant(db: Database, instance_id: str, target: str, kind: str = "novnc") -> str:
    """A token that opens `target` once, within ten minutes. Expired ones of the server go."""
    token = secrets.token_urlsafe(32)
    with db.write() as session:
        session.execute(delete(table).where(table.c.instance_id == instance_id, table.c.expires_at < now()))
        row = {"token_hash": digest(token), "instance_id": instance_id, "console_type": kind, "target": target}
        session.add(ConsoleToken(**row, expires_at=now() + LIFETIME))
    return token


def find(db: Database, token: str) -> tuple[str, str] | None:
    """(target, instance id) of a token that is still good, and stays so."""
    with db.read() as session:
        row = session.get(ConsoleToken, digest(token))
        return (row.target, row.instance_id) if row is not None and row.expires_at > now() else None


def use(db: Database, token: str) -> tuple[str, str] | None:
    """(target, instance id) of a token that is still good; it is used up, whoever else asks at the same time."""
    with db.write() as session:
        row = session.execute(
            delete(table)
            .where(table.c.token_hash == digest(token))
            .returning(table.c.target, table.c.instance_id, table.c.expires_at)
        ).one_or_none()
    return (row.target, row.instance_id) if row is not None and row.expires_at > now() else None
