"""Stores as the processes open them: several in one process at once, and killed in the middle of a migration."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from sqlalchemy import event, func, select, text
from sqlalchemy.exc import OperationalError

from infra.contracts.requests import Requester
from infra.database import Database
from infra.stores import actions

DIE_AT_THE_FIFTH_TABLE = """
import os, sys
from pathlib import Path
from sqlalchemy.engine.default import DefaultDialect
from infra.database import Database

execute, made = DefaultDialect.do_execute, []

def counted(self, cursor, statement, parameters, context=None):
    if "CREATE TABLE" in statement:
        made.append(statement)
    if len(made) == 5:
        os.kill(os.getpid(), 9)
    return execute(self, cursor, statement, parameters, context)

DefaultDialect.do_execute = counted
Database("network", state_dir=Path(sys.argv[1])).migrate()
"""


def tables(state_dir: Path, service: str) -> set[str]:
    with sqlite3.connect(state_dir / "db" / f"{service}.sqlite") as store:
        return {name for (name,) in store.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def test_a_migration_that_is_killed_leaves_nothing_half_made(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", DIE_AT_THE_FIFTH_TABLE, str(tmp_path)], env=os.environ, check=False)
    assert done.returncode == -signal.SIGKILL
    assert tables(tmp_path, "network") == set()
    Database("network", state_dir=tmp_path).migrate()
    assert {"networks", "subnets", "ports"} <= tables(tmp_path, "network")


def test_a_store_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    store = Database("volume", state_dir=tmp_path)
    store.migrate()
    with store.write() as session:
        session.execute(text("UPDATE volumes SET name = name"))
        files = sorted((tmp_path / "db").glob("*.sqlite*"))
        assert len(files) >= 3, "the store, its log and its index"
        assert {file.stat().st_mode & 0o777 for file in files} == {0o600}


def test_stores_of_one_process_migrate_at_once(tmp_path: Path) -> None:
    expected = {"network": "subnets", "volume": "volumes", "compute": "instances"}
    stores = [Database(service, state_dir=tmp_path) for service in expected]
    threads = [threading.Thread(target=store.migrate) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for service, table in expected.items():
        mine = tables(tmp_path, service)
        assert table in mine
        assert not mine & (set(expected.values()) - {table})


def impatient(state_dir: Path) -> Database:
    """A store that does not wait until SQLite's lock is free."""
    store = Database("compute", state_dir=state_dir)
    event.listen(store.engine, "connect", lambda dbapi, _: dbapi.execute("PRAGMA busy_timeout=0"))
    return store


def test_a_store_whose_lock_is_not_to_be_had_is_away(tmp_path: Path) -> None:
    """As any other failure of the store's: what answers 503 for it knows SQLAlchemy's errors only."""
    Database("compute", state_dir=tmp_path).migrate()
    store, another_process = impatient(tmp_path), Database("compute", state_dir=tmp_path)
    with another_process.transaction(), pytest.raises(OperationalError, match="locked"), store.transaction():
        pytest.fail("two writers at once")
    with store.transaction(), store.look() as reader:
        assert reader.scalar(text("SELECT count(*) FROM instances")) == 0


@pytest.mark.parametrize("way", ["write", "transaction"])
def test_writers_of_one_process_wait_for_each_other_and_not_for_sqlite(tmp_path: Path, way: str) -> None:
    """SQLite has who waits for its lock sleep, up to a tenth of a second each time."""
    store = impatient(tmp_path)
    store.migrate()
    order: list[str] = []

    def second() -> None:
        with getattr(store, way)():
            order.append("second")

    thread = threading.Thread(target=second)
    with store.transaction():
        thread.start()
        thread.join(0.2)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_a_writer_that_fails_ends_its_turn(tmp_path: Path) -> None:
    store = impatient(tmp_path)
    store.migrate()
    with pytest.raises(ZeroDivisionError), store.write():
        _ = 1 / 0
    with store.transaction() as writer:
        assert writer.scalar(text("SELECT count(*) FROM instances")) == 0


def test_an_action_that_ends_twice_has_its_last_steps_once(tmp_path: Path) -> None:
    store = Database("compute", state_dir=tmp_path)
    store.migrate()
    asks = Requester(token="", user_id="u", project_id="p", request_id="req-1")
    for steps, error in ((["spawn"], None), (["spawn"], None), (["claim_host", "spawn"], "it failed")):
        with store.transaction() as writer:
            if not writer.scalar(select(func.count()).select_from(actions.actions)):
                actions.begin(writer, "server", asks, "create")
            actions.finish(writer, "server", "req-1", [actions.over(name) for name in steps], error)
        with store.look() as reader:
            assert list(reader.scalars(select(actions.events.c.event).order_by(actions.events.c.event))) == steps
            assert reader.scalar(select(actions.actions.c.message)) == (error and "Error")
