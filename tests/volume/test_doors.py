"""Who reaches the bytes of volumes: the guests' user and the service alone, and only while a volume is attached."""

import json
import os
import socket
import stat
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

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
from infra.settings import Settings
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
    url = nbd_url(attachment["connection_info"])
    argv = [*AS_NOBODY, "qemu-io", "-f", "raw", "-r", "-c", "read 0 4k", url]
    read = subprocess.run(argv, capture_output=True, text=True, timeout=20)
    assert read.returncode and "Permission denied" in read.stderr
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", cloud.settings.port("nbd"))), "nothing listens on the network"
    cloud.ok("DELETE", f"/attachments/{attachment['id']}", user="nova")
    cloud.delete(volume)


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


@needs_root
def test_the_guests_group_reaches_the_socket_and_nobody_else(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path, nbd_address="")
    settings.run_dir.mkdir()
    daemon = subprocess.Popen(storage_daemon_argv(settings, group=65000))
    try:
        path = nbd_socket(settings)
        assert path is not None
        until(path.exists)
        until(socket_path(settings).exists)
        member = ["setpriv", "--reuid=65001", "--regid=65000", "--clear-groups"]
        argv = ["qemu-nbd", "--list", "-k", str(path)]
        assert subprocess.run([*member, *argv], capture_output=True, timeout=20).returncode == 0
        assert subprocess.run([*AS_NOBODY, *argv], capture_output=True, timeout=20).returncode
        assert subprocess.run([*member, "ls", str(socket_path(settings).parent)], capture_output=True).returncode
        for private in (socket_path(settings), path):
            assert not stat.S_IMODE(private.stat().st_mode) & 0o007
    finally:
        daemon.terminate()
        daemon.wait(10)


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
    """A small authority, a server's and a client's certificate, in the names that QEMU wants."""
    place = tmp_path_factory.mktemp("tls")

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=place, check=True, capture_output=True)

    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=ca",
            "-keyout", "ca-key.pem", "-out", "ca-cert.pem")  # fmt: skip
    for name, usage in (("server", "serverAuth"), ("client", "clientAuth")):
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}",
                "-keyout", f"{name}-key.pem", "-out", f"{name}.csr")  # fmt: skip
        (place / "ext").write_text(f"subjectAltName=IP:127.0.0.1\nextendedKeyUsage={usage}\n")
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca-cert.pem", "-CAkey", "ca-key.pem", "-days", "2",
                "-CAcreateserial", "-extfile", "ext", "-out", f"{name}-cert.pem")  # fmt: skip
    return place


@pytest.fixture
def remote(tmp_path: Path, certificates: Path, cloud: Cloud) -> Iterator[tuple[Settings, int]]:
    """Of a daemon that serves other machines, and its process."""
    settings = Settings(
        state_dir=tmp_path,
        port_offset=cloud.settings.port_offset + 1,
        nbd_address="127.0.0.1",
        nbd_tls_dir=certificates,
    )
    settings.run_dir.mkdir()
    daemon = subprocess.Popen(storage_daemon_argv(settings))
    try:
        until(lambda: _connects(settings.port("nbd")))
        yield settings, daemon.pid
    finally:
        daemon.terminate()
        daemon.wait(10)


def _connects(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_other_machines_need_a_certificate(remote: tuple[Settings, int], certificates: Path) -> None:
    port = remote[0].port("nbd")
    where = ["-b", "127.0.0.1", "-p", str(port)]
    plain = subprocess.run(["qemu-nbd", "--list", *where], capture_output=True, text=True, timeout=20)
    assert plain.returncode and "TLS" in plain.stderr, "without TLS not even the names are told"
    known = f"tls-creds-x509,id=t,endpoint=client,dir={certificates}"
    listing = ["qemu-nbd", "--list", *where, "--object", known, "--tls-creds", "t"]
    told = subprocess.run(listing, capture_output=True, text=True, timeout=20)
    assert told.returncode == 0 and "exports available: 0" in told.stdout, told.stderr


@needs_root
def test_what_serves_other_machines_is_nobody_either(remote: tuple[Settings, int], certificates: Path) -> None:
    """It has the key, which only root reads on this machine, in its own namespace, and can neither change it nor leave
    a core; volumes are read by it as by the one of this machine's guests."""
    settings, pid = remote
    uid, seen = volumes_uid(settings), volumes_view(settings)
    known = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    assert uid and set(known["Uid"].split()) == set(known["Gid"].split()) == {str(uid)} and not known["Groups"].strip()
    assert int(known["CapEff"], 16) == int(known["CapBnd"], 16) == 0 and known["NoNewPrivs"].strip() == "1"
    key = certificates / "server-key.pem"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600 and key.stat().st_uid == 0
    assert seen and not (seen.parent / "tls" / key.name).exists(), "outside its namespace there is no copy"
    user = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]
    within = ["nsenter", f"--target={pid}", "--mount", *user, "sh", "-c"]
    for what, may in ((f"cat {seen.parent}/tls/{key.name}", True), (f"echo >>{seen.parent}/tls/{key.name}", False)):
        assert (subprocess.run([*within, what], capture_output=True, timeout=20).returncode == 0) is may, what
    file = volumes_dir(settings) / "of-root.raw"
    file.write_bytes(b"x" * 4096)
    daemon = StorageDaemon(socket_path(settings), view=seen)
    daemon.export(Export("att", "vol", "sesame", file))
    where = f"driver=nbd,server.type=inet,server.host=127.0.0.1,server.port={settings.port('nbd')},export=sesame"
    tls = f"tls-creds-x509,id=t,endpoint=client,dir={certificates}"
    argv = ["qemu-io", "--object", tls, "--image-opts", f"{where},tls-creds=t", "-c", "read -P 0x78 0 4k"]
    read = subprocess.run(argv, capture_output=True, text=True, timeout=20)
    assert read.returncode == 0 and "read 4096/4096" in read.stdout, read.stderr
    assert file.stat().st_uid == uid


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
