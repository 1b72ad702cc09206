"""What makes SQLite bear a service that was written for a database server.

oslo.db opens each transaction deferred. One that reads first and writes later then fails at once when another wrote in
between. Here a transaction takes the write lock before its first statement that writes, and reads hold nothing: the
isolation that these services get from PostgreSQL (READ COMMITTED), with writers one after the other."""

import sqlite3
from typing import Any

from oslo_db.sqlalchemy import engines
from sqlalchemy import event, pool
from sqlalchemy.engine import Connection, Engine

PRAGMAS = ("journal_mode=WAL", "synchronous=NORMAL", "busy_timeout=30000")
READS = ("SELECT", "PRAGMA", "EXPLAIN", "BEGIN", "COMMIT", "ROLLBACK", "RELEASE")


def install() -> None:
    """Apply to every engine of this process that is made afterwards; engines of other databases are left alone."""
    event.listen(Engine, "connect", _configure)
    event.listen(Engine, "before_cursor_execute", _lock_before_write, retval=True)

    @engines._init_connection_args.dispatch_for("sqlite")  # type: ignore[untyped-decorator]
    def _keep_connections(url: Any, engine_args: dict[str, Any], kw: dict[str, Any]) -> None:
        """oslo.db opens a new connection for each transaction, which reads the whole schema again."""
        engine_args.update(poolclass=pool.QueuePool, pool_size=4, max_overflow=60, pool_pre_ping=False)
        engine_args["connect_args"]["check_same_thread"] = False


def _configure(dbapi: Any, _record: object) -> None:
    if isinstance(dbapi, sqlite3.Connection):
        for pragma in PRAGMAS:
            dbapi.execute(f"PRAGMA {pragma}")


def _lock_before_write(
    connection: Connection, cursor: Any, statement: str, parameters: Any, _context: object, _many: bool
) -> tuple[str, Any]:
    if connection.dialect.name != "sqlite":
        return statement, parameters
    verb = statement.lstrip("( \n\t").split(None, 1)[0].upper()
    if verb == "BEGIN":
        return "SELECT 1", ()  # nothing is locked yet
    if verb not in READS and not cursor.connection.in_transaction:
        cursor.execute("BEGIN IMMEDIATE")
    return statement, parameters
