"""The identity service's store: sessions that read, and changes that every process sees by the store's revision."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import select, update
from sqlmodel import Session, col

from infra.database import Database, DatabaseSettings
from infra.settings import Settings
from infra.tables.identity import Revision

REVISION = select(col(Revision.facts), col(Revision.revoked))


class IdentityStore:
    """Identity's `Database`. Caches derived from it are good for as long as `revision()` stands still."""

    def __init__(self, settings: Settings) -> None:
        elsewhere = DatabaseSettings().database_url
        file = settings.state_dir.absolute() / "db" / "identity.sqlite"
        self.db = Database("identity", None if elsewhere else f"sqlite:///{file}")
        self.read = self.db.read
        self.record = self.db.write
        """A write that no token depends on, such as a count of wrong passwords."""

    def open(self) -> None:
        self.db.wait_ready()
        self.db.migrate()

    def revision(self) -> tuple[int, int]:
        with self.db.engine.connect() as connection:
            facts, revoked = connection.execute(REVISION).one()
            return facts, revoked

    @contextmanager
    def change(self) -> Iterator[Session]:
        """A write that moves `Revision.facts`. Taking that row first puts writers in line on PostgreSQL too."""
        with self.db.write() as session:
            session.execute(update(Revision).values(facts=Revision.facts + 1))
            yield session

    @contextmanager
    def revoke(self) -> Iterator[Session]:
        """A write that moves `Revision.revoked`."""
        with self.db.write() as session:
            session.execute(update(Revision).values(revoked=Revision.revoked + 1))
            yield session

    def close(self) -> None:
        self.db.engine.dispose()
