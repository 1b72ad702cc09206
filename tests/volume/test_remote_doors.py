"""Who on other machines reaches the bytes of volumes: hosts with a certificate, each to what is its own."""

import contextlib
import os
import re
import socket
import ssl
import stat
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydantic import ValidationError

from infra.nbd import (
    Export,
    StorageDaemon,
    socket_path,
    storage_daemon_argv,
    volumes_dir,
    volumes_uid,
    volumes_view,
)
from infra.nbd_process import gate_uid
from infra.settings import Settings
from infra.volume_doors import Doors, control_socket, forget, gate_argv, place
from tests.volume.cloud import Cloud, until
from tests.volume.test_doors import needs_root, status_of


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
