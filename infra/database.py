"""One relational store per service: SQLite (WAL) on one machine, PostgreSQL in production, the same migrations."""

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from pydantic import model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy import Connection, Engine, event, make_url, text
from sqlalchemy.exc import OperationalError
from sqlmodel import Session, create_engine

from infra.interruption import still_in_time
from infra.settings import default_state_dir, is_loopback

MIGRATIONS = Path(__file__).parent / "migrations"
PATIENCE_S = 30
"""So long a writer waits for SQLite's lock."""
_MIGRATING = threading.Lock()  # Alembic's context is global: two stores of one process must take turns


class DatabaseSettings(BaseSettings):
    """`KILONOVA_DATABASE_URL` may hold `{service}`; without it each service has STATE/db/<service>.sqlite.

    ValidationError for a server of another machine without sslmode=verify-full: its rows and passwords would pass the
    network in the clear, or to whoever answers in its place. Source: libpq, "SSL Support"."""

    model_config = SettingsConfigDict(env_prefix="KILONOVA_", extra="ignore")

    database_url: str = ""
    database_pool_size: int = 10

    @model_validator(mode="after")
    def no_row_passes_in_the_clear(self) -> Self:
        if self.database_url.startswith("postgresql"):
            url = make_url(self.database_url)
            hosts = {str(host) for host in (url.host, *_several(url.query.get("host"))) if host}
            elsewhere = [host for host in hosts if not (host.startswith("/") or is_loopback(host))]
            if elsewhere and url.query.get("sslmode") != "verify-full":
                raise ValueError("database_url names a server of another machine: it needs ?sslmode=verify-full")
        return self

    def url(self, service: str, state_dir: Path | None = None) -> str:
        if self.database_url:
            return self.database_url.format(service=service)
        return f"sqlite:///{(state_dir or default_state_dir()) / 'db' / f'{service}.sqlite'}"


def _several(value: str | tuple[str, ...] | None) -> tuple[str, ...]:
    """A parameter of a URL, which may come several times, or hold several hosts between commas."""
    values = value if isinstance(value, tuple) else (value or "",)
    return tuple(host.partition(":")[0] for each in values for host in each.split(","))


def _prepare_sqlite(dbapi: Any, _record: object) -> None:
    dbapi.isolation_level = None  # SQLAlchemy's begin event below opens the transactions
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", f"busy_timeout={PATIENCE_S * 1000}"):
        dbapi.execute(f"PRAGMA {pragma}")


class Database:
    """Sessions on one service's store.

    `read()` sees one snapshot and never blocks a writer. `write()` commits when the block ends without an
    exception; on SQLite it takes the write lock at once, so that check-then-insert cannot interleave. In a step whose
    try is over by then, it does not commit: what it writes could land after the step's undo.
    """

    def __init__(self, service: str, url: str | None = None, *, state_dir: Path | None = None) -> None:
        known = DatabaseSettings()
        self.service = service
        self.url = url or known.url(service, state_dir)
        self.sqlite = self.url.startswith("sqlite")
        if self.sqlite:
            file = Path(self.url.removeprefix("sqlite:///"))
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch(0o600)  # password hashes, names of exports; the files that SQLite puts beside it get its mode
            file.chmod(0o600)
        self.engine: Engine = create_engine(
            self.url,
            pool_size=known.database_pool_size,
            max_overflow=40,
            pool_pre_ping=not self.sqlite,
            connect_args={"check_same_thread": False} if self.sqlite else {},
        )
        if self.sqlite:
            event.listen(self.engine, "connect", _prepare_sqlite)
            event.listen(self.engine, "begin", self._begin_sqlite)
        self._writing = self.engine.execution_options(write=True)
        self._writers = threading.Lock()

    @staticmethod
    def _begin_sqlite(connection: Connection) -> None:
        """By SQLite's own connection: as a statement of SQLAlchemy's it takes several times as long."""
        begin = "BEGIN IMMEDIATE" if connection.get_execution_options().get("write") else "BEGIN"
        try:
            connection.connection.cursor().execute(begin)
        except sqlite3.OperationalError as error:
            raise OperationalError(begin, None, error) from error

    @contextmanager
    def read(self) -> Iterator[Session]:
        with Session(self.engine, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def look(self) -> Iterator[Connection]:
        """As `read`, for statements on tables."""
        with self.engine.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Session]:
        with (
            self._turn(),
            self._writing.connect() as connection,
            Session(connection, expire_on_commit=False) as session,
        ):
            yield session
            session.flush()
            still_in_time()
            session.commit()

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """As `write`, for statements on tables: without the ORM, which costs a few times as much."""
        with self._turn(), self._writing.begin() as connection:
            yield connection
            still_in_time()

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Of a process's threads one writes into SQLite at a time. Whoever finds it locked sleeps, up to a tenth of a
        second each time, and may find it locked by a third when he looks again."""
        if not self.sqlite:
            yield
            return
        if not self._writers.acquire(timeout=PATIENCE_S):
            waited = sqlite3.OperationalError("database is locked")
            raise OperationalError("BEGIN IMMEDIATE", None, waited)
        try:
            yield
        finally:
            self._writers.release()

    def migrate(self) -> None:
        """Bring the schema to the newest revision. Two processes at once: the second waits and finds it done."""
        from alembic import command  # an eighth of a second, which whoever only reads does without
        from alembic.config import Config

        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.set_main_option("path_separator", "os")
        config.set_main_option("version_locations", str(MIGRATIONS / self.service))
        config.attributes["url"] = self.url
        config.attributes["service"] = self.service
        with _MIGRATING, self._migration_lock():
            command.upgrade(config, "head")

    @contextmanager
    def _migration_lock(self) -> Iterator[None]:
        if self.sqlite:
            import fcntl

            lock = Path(self.url.removeprefix("sqlite:///") + ".lock")
            with os.fdopen(os.open(lock, os.O_CREAT | os.O_RDWR, 0o600), "w") as held:
                fcntl.flock(held, fcntl.LOCK_EX)
                yield
            return
        with self.engine.connect() as connection:
            connection.execute(text("SELECT pg_advisory_lock(7214)"))
            yield
            connection.execute(text("SELECT pg_advisory_unlock(7214)"))

    def wait_ready(self, seconds: float = 30.0) -> None:
        """Return once the store answers; raise its last error after `seconds`."""
        end = time.monotonic() + seconds
        while True:
            try:
                with self.engine.connect() as connection:
                    connection.execute(text("SELECT 1"))
                    return
            except Exception:
                if time.monotonic() > end:
                    raise
                time.sleep(0.2)
