"""Who reaches the bytes of volumes: the guests' user and the service alone, and only while a volume is attached."""

import errno
import os
import signal
import socket
import stat
import struct
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra import credentials
from infra.nbd import (
    nbd_socket,
    socket_path,
    volumes_uid,
    volumes_view,
)
from infra.nbd_process import gate_uid
from infra.qmp import QmpDown, QmpUnreachable
from infra.volume_doors import Doors, control_socket, let_in, place
from infra.volume_gate import CONNECTIONS
from tests.volume.cloud import Cloud, nbd_url, until
from tests.volume.images import ImageServer

AS_NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


def listed(cloud: Cloud, *who: str) -> subprocess.CompletedProcess[str]:
    argv = [*who, "qemu-nbd", "--list", "-k", str(nbd_socket(cloud.settings))]
    return subprocess.run(argv, capture_output=True, text=True, timeout=20)


@needs_root
def test_a_local_user_neither_lists_nor_reads_volumes(cloud: Cloud) -> None:
    volume = cloud.volume()
    attachment = cloud.attach(volume, instance_uuid=str(uuid.uuid4()))
    assert f"export: '{attachment['connection_info']['export']}'" in listed(cloud).stdout
    refused = listed(cloud, *AS_NOBODY)
    assert refused.returncode and "Permission denied" in refused.stderr
    assert "Permission denied" in reads(attachment["connection_info"], *AS_NOBODY)
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", cloud.settings.port("nbd"))), "nothing listens on the network"
    cloud.ok("DELETE", f"/attachments/{attachment['id']}", user="nova")
    cloud.delete(volume)


def reads(connection: dict[str, Any], *who: str) -> str:
    """What somebody is told who tries to read the volume; "" when it can be read."""
    argv = [*who, "qemu-io", "-f", "raw", "-r", "-c", "read 0 4k", nbd_url(connection)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=20)
    return done.stderr + done.stdout if done.returncode else ""


class Guest:
    """A user like that of a QEMU which was taken over, with a volume of its own."""

    def __init__(self, cloud: Cloud, uid: int) -> None:
        self.cloud, self.uid = cloud, uid
        self.user = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--no-new-privs"]
        self.volume = cloud.volume()
        self.attachment = cloud.attach(self.volume, instance_uuid=str(uuid.uuid4()))
        self.way: dict[str, Any] = self.attachment["connection_info"]
        let_in(self.way["socket"], uid)

    def sees(self, way: dict[str, Any]) -> str:
        return reads(way, *self.user)

    def connects(self, path: str | Path) -> bool:
        argv = [*self.user, "/usr/bin/python3", "-c", CONNECT, str(path)]
        return subprocess.run(argv, capture_output=True, timeout=20).returncode != errno.EACCES

    def ends(self) -> None:
        self.cloud.ok("DELETE", f"/attachments/{self.attachment['id']}", user="nova")
        self.cloud.delete(self.volume)


CONNECT = """
import socket, sys
try:
    socket.socket(socket.AF_UNIX).connect(sys.argv[1])
except OSError as error:
    sys.exit(error.errno)
"""


@pytest.fixture
def guests(cloud: Cloud) -> Iterator[list[Guest]]:
    found = [Guest(cloud, 65101), Guest(cloud, 65102)]
    yield found
    for guest in found:
        guest.ends()


@needs_root
def test_a_guest_comes_to_its_own_volume_and_to_no_other_guests(cloud: Cloud, guests: list[Guest]) -> None:
    """Mechanisms: the group of each door's directory, and the names that the gate lets through and tells to nobody."""
    for mine, theirs in (guests, guests[::-1]):
        assert mine.sees(mine.way) == "" and mine.connects(mine.way["socket"])
        listing = ["qemu-nbd", "--list", "-k", mine.way["socket"]]
        told = subprocess.run([*mine.user, *listing], capture_output=True, text=True, timeout=20)
        assert told.returncode == 0 and "exports available: 0" in told.stdout, told.stderr
        assert "Permission denied" in mine.sees(theirs.way) and not mine.connects(theirs.way["socket"])
        assert "not available" in mine.sees(mine.way | {"export": theirs.way["export"]}), (
            "knowing its name is not enough"
        )
        for private in (nbd_socket(cloud.settings), socket_path(cloud.settings), control_socket(cloud.settings)):
            assert private.exists() and not mine.connects(private)
    path = Path(guests[0].way["socket"])
    let_in(str(path.parent / ".." / guests[1].attachment["id"] / "socket"), guests[0].uid)
    assert not guests[0].connects(guests[1].way["socket"]), "only a door's own path lets anybody in"


@needs_root
def test_doors_are_there_again_when_gate_or_daemon_are(cloud: Cloud, guests: list[Guest]) -> None:
    """For the same guest; and what was detached meanwhile has none."""
    mine, gone = guests[0], Guest(cloud, 65103)
    for killed in ("nbd-gate", "nbd"):
        cloud.kill(killed)
        if killed == "nbd-gate":
            cloud.ok("DELETE", f"/attachments/{gone.attachment['id']}", user="nova")
            assert mine.sees(mine.way) != ""
            (service,) = cloud.ok("GET", "/os-services", user="admin")["services"]
            assert service["state"] == "down"
        cloud.start(killed)
        until(lambda: mine.sees(mine.way) == "")
        assert "Permission denied" in guests[1].sees(mine.way)
    assert not Path(gone.way["socket"]).parent.exists()
    cloud.delete(gone.volume)


@needs_root
def test_what_nobody_asks_for_is_shut(cloud: Cloud, guests: list[Guest]) -> None:
    """Mechanism: Exports.reconcile. A door that the gate, or only the file system, still has."""
    doors, stray = Doors(cloud.settings), str(uuid.uuid4())
    doors.open(stray, "nowhere", "h")
    (left := place(cloud.settings) / str(uuid.uuid4())).mkdir()
    until(lambda: stray not in doors.all() and not left.exists())
    assert doors.all().keys() >= {guest.attachment["id"] for guest in guests}
    assert not Path(doors.connection(stray)).parent.exists()


@needs_root
def test_a_gate_that_hung_does_not_answer_the_next_question_with_the_last_ones(cloud: Cloud) -> None:
    doors, stray, gate = Doors(cloud.settings, timeout=0.3), str(uuid.uuid4()), cloud.processes["nbd-gate"]
    doors.open(stray, "sesame", "host1")
    gate.send_signal(signal.SIGSTOP)
    try:
        with pytest.raises(QmpUnreachable):
            doors.all()
        with pytest.raises(QmpUnreachable):
            doors.close(stray)
    finally:
        gate.send_signal(signal.SIGCONT)
    doors.close(stray)
    assert stray not in doors.all()


def test_a_gate_that_was_started_again_is_asked_at_once(cloud: Cloud) -> None:
    doors, stray = Doors(cloud.settings), str(uuid.uuid4())
    assert stray not in doors.all()
    cloud.kill("nbd-gate")
    with pytest.raises(QmpDown):
        doors.open(stray, "sesame", "host1")
    cloud.start("nbd-gate")
    doors.open(stray, "sesame", "host1")
    assert stray in doors.all()
    until(lambda: stray not in doors.all())  # nobody asks for it


def test_a_shut_door_ends_what_came_through_it(cloud: Cloud) -> None:
    guest = Guest(cloud, 65104)
    argv = ["qemu-io", "-f", "raw", nbd_url(guest.way)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as client:
        assert client.stdin and client.stdout
        client.stdin.write("read 0 4k\n")
        client.stdin.flush()
        until(lambda: "4 KiB" in client.stdout.readline())  # type: ignore[union-attr]
        guest.ends()
        client.stdin.write("read 0 4k\n")
        client.stdin.close()
        assert "error" in client.stdout.read()


@needs_root
def test_the_gate_is_a_user_that_can_do_nothing_else(cloud: Cloud) -> None:
    known = status_of(cloud.processes["nbd-gate"].pid)
    uid = gate_uid(cloud.settings)
    assert uid and set(known["Uid"].split()) == set(known["Gid"].split()) == {str(uid)} and not known["Groups"].strip()
    assert int(known["CapEff"], 16) == int(known["CapPrm"], 16) == 0 and known["NoNewPrivs"].strip() == "1"
    assert uid != volumes_uid(cloud.settings), "it is not who owns the volumes' files"


@needs_root
def test_one_guest_cannot_keep_others_from_the_gate(cloud: Cloud, guests: list[Guest]) -> None:
    """However often it connects, and whatever it says."""
    mine, other = guests
    kept = []
    for _ in range(CONNECTIONS + 8):
        kept.append(connection := socket.socket(socket.AF_UNIX))
        connection.settimeout(5)
        connection.connect(mine.way["socket"])
    assert [each.recv(18)[:8] for each in kept[:CONNECTIONS]] == [b"NBDMAGIC"] * CONNECTIONS
    assert kept[-1].recv(18) == b"" and other.sees(other.way) == ""
    kept[0].sendall(struct.pack(">I8sII", 3, b"IHAVEOPT", 7, 1 << 31))
    assert kept[0].recv(1) == b"", "an answer that does not end is not waited for"
    for each in kept:
        each.close()
    until(lambda: mine.sees(mine.way) == "")


def status_of(pid: int) -> dict[str, str]:
    return dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())


@needs_root
def test_the_daemon_is_a_user_that_comes_to_volumes_only(cloud: Cloud) -> None:
    """What a guest could do that took it over by NBD: nothing as root, and nothing with the rest of the state."""
    volume, daemon = cloud.volume(), cloud.processes["nbd"].pid
    attachment = cloud.attach(volume, instance_uuid=str(uuid.uuid4()))
    uid = volumes_uid(cloud.settings)
    lines = (line.split() for line in Path(f"/proc/{daemon}/status").read_text().splitlines())
    known = {words[0].rstrip(":"): words[1:] for words in lines if words}
    assert uid and set(known["Uid"]) == set(known["Gid"]) == {str(uid)} and known["Groups"] == []
    assert int(known["CapEff"][0], 16) == int(known["CapBnd"][0], 16) == 0 and known["NoNewPrivs"] == ["1"]
    assert cloud.file(volume).stat().st_uid == uid
    as_it = [
        "nsenter",
        f"--target={daemon}",
        "--mount",
        "setpriv",
        f"--reuid={uid}",
        f"--regid={uid}",
        "--clear-groups",
    ]
    seen = volumes_view(cloud.settings)
    for path, comes in ((f"{seen}/{volume}.raw", True), (str(credentials.path(cloud.settings.state_dir)), False)):
        done = subprocess.run([*as_it, "head", "-c1", path], capture_output=True, timeout=20)
        assert (done.returncode == 0) is comes, done.stderr
    cloud.ok("DELETE", f"/attachments/{attachment['id']}", user="nova")
    cloud.delete(volume)


def test_an_export_exists_only_while_a_host_has_the_volume(cloud: Cloud) -> None:
    volume = cloud.volume()
    body = {"attachment": {"volume_uuid": volume, "instance_uuid": str(uuid.uuid4())}}
    reserved = cloud.ok("POST", "/attachments", body, user="nova")["attachment"]
    assert volume not in listed(cloud).stdout, "reserved, but no host has it"
    path = f"/attachments/{reserved['id']}"
    cloud.ok("PUT", path, {"attachment": {"connector": {"host": "h"}}}, user="nova")
    assert volume in listed(cloud).stdout
    cloud.ok("DELETE", path, user="nova")
    assert volume not in listed(cloud).stdout
    cloud.delete(volume)


def test_files_are_their_owners_alone(cloud: Cloud, images: ImageServer, tmp_path: Path) -> None:
    file = tmp_path / "guest.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(file), "64M"], check=True)
    made = cloud.ok("POST", "/volumes", {"volume": {"size": 1, "imageRef": images.add(file.read_bytes())}})["volume"]
    cloud.settled(made["id"], "available")
    cloud.snapshot(cloud.volume(source_volid=made["id"], size=None))
    root = cloud.file(made["id"]).parent
    assert stat.S_IMODE(root.stat().st_mode) == 0o700
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in root.iterdir()}
    assert set(modes.values()) == {0o600}, modes
