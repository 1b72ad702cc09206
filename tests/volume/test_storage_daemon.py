"""What is known of the storage daemon between two commands: it may die, hang, and have been another's before."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import event

from api.volume.exports import Exports
from api.volume.files import Files
from infra.database import Database
from infra.nbd import Export, QmpDown, QmpError, QmpUnreachable, StorageDaemon
from infra.settings import Settings
from tests.volume.cloud import io, until

VOLUME, FIRST, SECOND = (f"{number}1111111-1111-4111-8111-111111111111" for number in range(3))


class Process:
    """A daemon of its own, whose volumes are files beside its sockets."""

    def __init__(self, place: Path) -> None:
        self.place, self.monitor = place, place / "qmp"
        self.file = place / "volume.raw"
        self.file.touch()
        os.truncate(self.file, 1 << 20)
        self.start()

    def start(self) -> None:
        for socket in (self.monitor, self.place / "nbd"):
            socket.unlink(missing_ok=True)
        argv = ["qemu-storage-daemon", "--chardev", f"socket,id=qmp,path={self.monitor},server=on,wait=off"]
        argv += ["--monitor", "chardev=qmp", "--nbd-server", f"addr.type=unix,addr.path={self.place / 'nbd'}"]
        self.process = subprocess.Popen(argv)
        until((self.place / "nbd").exists)  # it is made last: by then the monitor listens

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)

    def client(self) -> StorageDaemon:
        return StorageDaemon(self.monitor, timeout=1.0)

    def has_open(self) -> bool:
        held = Path(f"/proc/{self.process.pid}/fd")
        return self.file in {fd.readlink() for fd in held.iterdir()}

    def reads(self, name: str) -> bool:
        return io(f"nbd+unix:///{name}?socket={self.place / 'nbd'}", "read 0 4k", read_only=True)


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Process]:
    found = Process(tmp_path)
    yield found
    found.kill()


def export(daemon: Process, attachment: str, name: str) -> Export:
    return Export(attachment, VOLUME, name, daemon.file)


def test_a_daemon_that_was_started_again_exports_anew_what_it_is_told(daemon: Process) -> None:
    client, wanted = daemon.client(), export(daemon, FIRST, "one")
    client.export(wanted)
    assert daemon.reads("one")
    daemon.kill()
    with pytest.raises(QmpDown):
        client.export(wanted)
    daemon.start()
    client.export(wanted)
    assert daemon.reads("one") and client.exports() == {wanted.id}


def test_the_file_is_closed_with_its_last_export(daemon: Process) -> None:
    client, one, two = daemon.client(), export(daemon, FIRST, "one"), export(daemon, SECOND, "two")
    for wanted in (one, two, one):
        client.export(wanted)
    client.unexport(one.id)
    assert not daemon.reads("one") and daemon.reads("two") and daemon.has_open()
    for ended in (two, two, one):
        client.unexport(ended.id)
    assert not daemon.has_open() and client.exports() == set()


def test_what_another_client_left_is_known(daemon: Process) -> None:
    before, one, two = daemon.client(), export(daemon, FIRST, "one"), export(daemon, SECOND, "two")
    for wanted in (one, two):
        before.export(wanted)
    with pytest.raises(QmpUnreachable):
        daemon.client().exports()  # one client at a time: nobody else changes what is known
    before.close()
    now = daemon.client()
    now.export(two)
    now.unexport(one.id)
    assert daemon.reads("two") and not daemon.reads("one")
    now.unexport(two.id)
    assert not daemon.has_open()


def test_a_daemon_that_hung_is_asked_anew(daemon: Process) -> None:
    client, wanted = daemon.client(), export(daemon, FIRST, "one")
    client.export(wanted)
    daemon.process.send_signal(signal.SIGSTOP)
    with pytest.raises(QmpUnreachable):
        client.unexport(wanted.id)
    daemon.process.send_signal(signal.SIGCONT)

    def goes() -> bool:
        """It serves one client at a time: until it has left the one that gave up, the next is not let in."""
        try:
            client.unexport(wanted.id)
        except QmpUnreachable:
            return False
        return True

    until(goes)
    assert not daemon.reads("one") and not daemon.has_open()


def test_what_is_refused_is_not_taken_for_done(daemon: Process) -> None:
    client, wanted = daemon.client(), export(daemon, FIRST, "one")
    client.export(wanted)
    with pytest.raises(QmpError, match="one"):
        client.export(export(daemon, SECOND, "one"))  # the name is taken
    assert client.exports() == {wanted.id} and daemon.reads("one")
    client.export(export(daemon, SECOND, "two"))
    assert daemon.reads("two")


def test_after_a_copy_an_export_is_the_volume_itself(daemon: Process) -> None:
    client, target = daemon.client(), daemon.place / "copy.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(target), "1M"], check=True)
    client.copy(VOLUME, daemon.file, target, lambda: False)
    assert not daemon.has_open()
    client.export(export(daemon, FIRST, "one"))
    assert daemon.reads("one")


def test_a_daemon_that_is_away_is_looked_for_without_asking_the_store(tmp_path: Path) -> None:
    class Counted(StorageDaemon):
        looks = 0

        def exports(self) -> set[str]:
            self.looks += 1
            return super().exports()

    database, daemon = Database("volume", state_dir=tmp_path), Counted(tmp_path / "qmp")
    database.migrate()
    begun: list[object] = []
    event.listen(database.engine, "begin", begun.append)
    exports = Exports(Settings(state_dir=tmp_path), database, Files(tmp_path / "volumes"), daemon)
    exports.start()
    try:
        until(lambda: daemon.looks >= 6, 60)
        assert 0 < len(begun) < daemon.looks
    finally:
        exports.close()
        database.engine.dispose()
