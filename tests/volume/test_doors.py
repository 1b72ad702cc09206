"""Who reaches the bytes of volumes: the guests' user and the service alone, and only while a volume is attached."""

import contextlib
import errno
import json
import os
import re
import socket
import ssl
import stat
import struct
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from infra import credentials
from infra.nbd import (
    Export,
    StorageDaemon,
    nbd_socket,
    socket_path,
    storage_daemon_argv,
    volumes_dir,
    volumes_uid,
    volumes_view,
)
from infra.nbd_process import gate_uid
from infra.settings import Settings
from infra.volume_doors import Doors, control_socket, forget, gate_argv, let_in, place
from infra.volume_gate import CONNECTIONS
from tests.volume.cloud import Cloud, io, nbd_url, until
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


# Hosts on other machines


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small authority, the server's certificate, and in a folder each those of two hosts and of no host, in the names
    that QEMU wants."""
    place = tmp_path_factory.mktemp("tls")

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=place, check=True, capture_output=True)

    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=ca",
            "-keyout", "ca-key.pem", "-out", "ca-cert.pem")  # fmt: skip
    for name, usage in (("server", "serverAuth"), *((name, "clientAuth") for name in CLIENTS)):
        file = "server" if name == "server" else f"{name}/client"
        (place / file).parent.mkdir(exist_ok=True)
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}",
                "-keyout", f"{file}-key.pem", "-out", f"{file}.csr")  # fmt: skip
        (place / "ext").write_text(f"subjectAltName=IP:127.0.0.1\nextendedKeyUsage={usage}\n")
        openssl("x509", "-req", "-in", f"{file}.csr", "-CA", "ca-cert.pem", "-CAkey", "ca-key.pem", "-days", "2",
                "-CAcreateserial", "-extfile", "ext", "-out", f"{file}-cert.pem")  # fmt: skip
        (place / file).parent.joinpath("ca-cert.pem").write_bytes((place / "ca-cert.pem").read_bytes())
    return place


CLIENTS = ("host-h1", "host-h2", "somebody")


@dataclass
class Remote:
    """A gate that serves other machines, and what it leads to: one export of host h1."""

    settings: Settings
    certificates: Path
    gate: int

    def asked(self, tool: str, *words: str, who: str = "host-h1", export: str = "") -> subprocess.CompletedProcess[str]:
        tls = f"tls-creds-x509,id=t,endpoint=client,dir={self.certificates / who}"
        where = f"driver=nbd,server.type=inet,server.host=127.0.0.1,server.port={self.settings.port('nbd')}"
        target = ["--image-opts", *words, f"{where},export={export},tls-creds=t"] if export else list(words)
        return subprocess.run([tool, "--object", tls, *target], capture_output=True, text=True, timeout=20)

    def reads(self, who: str, export: str = "sesame") -> bool:
        return self.asked("qemu-io", "-r", "-c", "read -P 0x78 0 4k", who=who, export=export).returncode == 0


@pytest.fixture
def remote(tmp_path: Path, certificates: Path, cloud: Cloud) -> Iterator[Remote]:
    settings = Settings(
        state_dir=tmp_path,
        port_offset=cloud.settings.port_offset + 1,
        nbd_address="127.0.0.1",
        nbd_tls_dir=certificates,
    )
    settings.run_dir.mkdir()
    running = [subprocess.Popen(argv) for argv in (storage_daemon_argv(settings), gate_argv(settings))]
    try:
        until(lambda: _connects(settings.port("nbd")) and control_socket(settings).exists())
        until(socket_path(settings).exists)
        file = volumes_dir(settings) / "of-root.raw"
        file.write_bytes(b"x" * 4096)
        StorageDaemon(socket_path(settings), view=volumes_view(settings)).export(Export("att", "vol", "sesame", file))
        Doors(settings).open("att", "sesame", "h1")
        assert file.stat().st_uid == (volumes_uid(settings) or os.geteuid())
        yield Remote(settings, certificates, running[1].pid)
    finally:
        for process in running:
            process.terminate()
            process.wait(10)
        forget(settings)


def _connects(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_other_machines_need_a_certificate_and_are_told_no_name(remote: Remote) -> None:
    where = ["-b", "127.0.0.1", "-p", str(remote.settings.port("nbd"))]
    plain = subprocess.run(["qemu-nbd", "--list", *where], capture_output=True, text=True, timeout=20)
    assert plain.returncode and "TLS" in plain.stderr, "without TLS not even the names are told"
    told = remote.asked("qemu-nbd", "--list", *where, "--tls-creds", "t")
    assert told.returncode == 0 and "exports available: 0" in told.stdout, told.stderr
    anonymous = ssl.create_default_context(cafile=remote.certificates / "ca-cert.pem")
    with socket.create_connection(("127.0.0.1", remote.settings.port("nbd")), 5) as bare:
        assert bare.recv(18)[:8] == b"NBDMAGIC"
        bare.sendall(struct.pack(">I8sII", 3, b"IHAVEOPT", 5, 0))
        assert bare.recv(20)[12:16] == struct.pack(">I", 1), "TLS may begin"
        answer = b""
        with contextlib.suppress(OSError), anonymous.wrap_socket(bare, server_hostname="127.0.0.1") as within:
            within.sendall(struct.pack(">8sII", b"IHAVEOPT", 3, 0))
            answer = within.recv(20)
        assert answer == b"", "who has no certificate is told nothing"


def test_a_host_of_another_machine_comes_to_its_own_volumes_only(remote: Remote) -> None:
    """Also where it knows the name. A certificate that names no host opens nothing."""
    assert [remote.reads(who) for who in CLIENTS] == [True, False, False]
    assert not remote.reads("host-h1", "other")
    Doors(remote.settings).open("att", "sesame", "h2")
    assert [remote.reads(who) for who in CLIENTS] == [False, True, False]
    Doors(remote.settings).close("att")
    assert [remote.reads(who) for who in CLIENTS] == [False, False, False]


@needs_root
def test_what_serves_other_machines_is_nobody_either(remote: Remote, certificates: Path) -> None:
    """It read the key, which only root can on this machine, before it became who it is, and leaves no core."""
    uid, known = gate_uid(remote.settings), status_of(remote.gate)
    assert uid and set(known["Uid"].split()) == {str(uid)} and int(known["CapEff"], 16) == 0
    key = certificates / "server-key.pem"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600 and key.stat().st_uid == 0
    assert [f for f in place(remote.settings).rglob("*") if f.is_file()] == [], "there is no copy of it"
    limits = Path(f"/proc/{remote.gate}/limits").read_text()
    assert re.search(r"Max core file size +0 +0", limits)


def test_volumes_are_never_exported_in_the_clear(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="nbd_tls_dir"):
        Settings(state_dir=tmp_path, nbd_address="192.0.2.1")


# Images

VMDK = b"""# Disk DescriptorFile
version=1
CID=fffffffe
parentCID=ffffffff
createType="monolithicFlat"
RW 2048 FLAT "/etc/passwd" 0
"""


@pytest.mark.parametrize("container", ["bare", "ovf", "docker"])
def test_a_descriptor_that_names_host_files_is_refused_in_any_container(
    cloud: Cloud, images: ImageServer, container: str
) -> None:
    """Issue: such an image, in a container that nobody inspected, opened files of the host and blocked all copies."""
    image = images.add(VMDK, disk_format="vmdk", container_format=container)
    volume = cloud.ok("POST", "/volumes", {"volume": {"size": 1, "imageRef": image}})["volume"]["id"]
    cloud.settled(volume, "error")
    told = json.dumps(cloud.ok("GET", f"/messages?resource_uuid={volume}"))
    assert "format" in told or "not safe" in told
    cloud.delete(volume)


def test_tools_run_without_privileges(cloud: Cloud, images: ImageServer, tmp_path: Path) -> None:
    """What the conversion of a stranger's image makes belongs to a user who can do nothing else."""
    if os.geteuid() != 0:
        pytest.skip("only root gives work to another user")
    file = tmp_path / "guest.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(file), "64M"], check=True)
    made = cloud.ok("POST", "/volumes", {"volume": {"size": 1, "imageRef": images.add(file.read_bytes())}})["volume"]
    cloud.settled(made["id"], "available")
    assert cloud.file(made["id"]).stat().st_uid != 0
    assert io(str(cloud.file(made["id"])), "read -P 0 0 64M", read_only=True)
