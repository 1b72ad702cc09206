"""The network service's store: readers are free, writers take turns on both databases."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import update
from sqlalchemy.exc import DataError, IntegrityError
from sqlmodel import Session, col, select

from api.common.telling import Event
from api.network import server_ports
from api.network.changes import watch
from api.network.errors import bad, conflict
from api.network.news import News
from infra.database import Database
from infra.tables.network import Ledger

UNUSABLE = "The request has a value that the store cannot keep."
"""For instance a NUL character on PostgreSQL."""


class Store:
    """Sessions on the store. A writer holds the ledger's row from its first to its last statement, so that what it
    checked (free address, quota, no ports left) still holds when it commits, whatever other processes do."""

    def __init__(self, database: Database, tell: Callable[[list[Event]], None] | None = None) -> None:
        """`tell`: gets, once it is committed, what servers have to know of their ports; it returns at once."""
        self.database, self._tell = database, tell
        self.news = News()
        self.reported = News()  # what hosts say of what they carry
        self._turn = threading.Lock()

    @contextmanager
    def read(self) -> Iterator[Session]:
        try:
            with self.database.read() as session:
                yield session
        except DataError as error:
            raise bad(UNUSABLE) from error

    @contextmanager
    def write(self) -> Iterator[Session]:
        """Commits at the end of the block; 409 when the store's own constraints refuse the change.

        A change of something that hosts carry out counts in the same transaction, and is news afterwards."""
        counts, events = False, list[Event]()
        try:
            with self._turn, self.database.write() as session:
                session.exec(select(Ledger.id).with_for_update()).one()
                changed, of_servers = watch(session), server_ports.watch(session) if self._tell else list[Event]
                yield session
                session.flush()
                events = of_servers()
                if counts := changed():
                    session.exec(update(Ledger).values(topology=col(Ledger.topology) + 1))
        except DataError as error:
            raise bad(UNUSABLE) from error
        except IntegrityError as error:
            raise conflict("Conflict", "The request conflicts with another one; try again.") from error
        if counts:
            self.news.tell()
        if self._tell:
            self._tell(events)


def topology_revision(session: Session) -> str:
    """Changes whenever something was committed that hosts carry out; different in every store."""
    store_id, count = session.exec(select(Ledger.store_id, Ledger.topology)).one()
    return f"{store_id[:8]}-{count}"
