"""A state directory without a free byte: what died comes back, and records can still be written."""

import os
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.troubles import fill
from tests.cli.conftest import Cloud, wait_for
from workers import reserves, supervisor


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 32 MiB."""
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("file systems cannot be mounted here")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


def test_what_dies_on_a_full_disk_is_started_again(small: Path) -> None:
    cloud = Cloud(small)
    try:
        started = cloud.start()
        wait_for(cloud.ready)
        fill(small / "filler")
        before = {name: cloud.pid(name) for name in ("web", "child")}
        for pid in before.values():
            os.kill(pid, signal.SIGKILL)
        wait_for(lambda: all(cloud.pid(name) != pid for name, pid in before.items()))
        again = cloud.pid("web")
        os.kill(again, signal.SIGKILL)
        wait_for(lambda: cloud.pid("web") != again)
        (small / "filler").unlink()
        wait_for(lambda: cloud.unit("web").get("restarts") == 2 and cloud.ready(), 20)
        assert started.poll() is None
    finally:
        cloud.end()


def _records(store: sqlite3.Connection, count: int) -> None:
    for _ in range(count):
        with store:
            store.execute("INSERT INTO record VALUES (zeroblob(900))")


def test_stores_go_on_in_the_room_that_was_kept_for_them(small: Path) -> None:
    (small / "db").mkdir()
    file = small / "db" / "compute.sqlite"
    journal = Path(f"{file}-wal")
    store = sqlite3.connect(file)
    store.execute("PRAGMA journal_mode=WAL")
    store.execute("CREATE TABLE record (body BLOB)")
    _records(store, 1)
    size = journal.stat().st_size
    reserves.keep(small)
    assert journal.stat().st_size == size < journal.stat().st_blocks * 512
    fill(small / "filler")
    _records(store, 10)
    with pytest.raises(sqlite3.OperationalError, match="full"):
        _records(store, 1000)  # what was kept is not endless
    reserves.keep(small)
    (small / "filler").unlink()
    _records(store, 1000)
    store.close()


def test_a_log_that_cannot_be_copied_is_emptied(small: Path) -> None:
    log = small / "web.log"
    log.write_text("x" * 5000)
    (small / "web.log.1").write_text("older")
    fill(small / "filler")
    supervisor.rotate(small, cap=1000)
    assert log.stat().st_size == 0
