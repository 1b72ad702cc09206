"""Volumes from images: verified bytes, refused tricks, and nothing stuck or left behind."""

import hashlib
import json
import os
import subprocess
import uuid
from pathlib import Path
from typing import Any

import pytest

from tests.volume.cloud import Cloud, io, until
from tests.volume.images import ImageServer

RAW = b"boot" * 1024 + bytes(4 << 20) + b"tail" * 1000 + bytes(3)


def from_image(cloud: Cloud, image_id: str, **wanted: Any) -> str:
    body = {"volume": {"size": 1, "imageRef": image_id} | wanted}
    return str(cloud.ok("POST", "/volumes", body)["volume"]["id"])


def fault(cloud: Cloud, volume_id: str) -> str:
    cloud.settled(volume_id, "error")
    assert not list(cloud.file(volume_id).parent.glob(f"{volume_id}*")), "nothing is left of a failed volume"
    found = cloud.ok("GET", f"/messages?resource_uuid={volume_id}")["messages"]
    return str(found[0]["user_message"])


def qcow2(tmp_path: Path, *options: str) -> bytes:
    file = tmp_path / f"{uuid.uuid4()}.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *options, str(file), "64M"], check=True)
    if not options:
        assert io_qcow2(file)
    return file.read_bytes()


def io_qcow2(file: Path) -> bool:
    return subprocess.run(["qemu-io", "-c", "write -P 6 1M 1M", str(file)], capture_output=True).returncode == 0


def test_raw_image(cloud: Cloud, images: ImageServer) -> None:
    image = images.add(RAW)
    volume = from_image(cloud, image, name="boot")
    cloud.settled(volume, "available")
    with cloud.file(volume).open("rb") as file:
        assert file.read(len(RAW)) == RAW
    assert cloud.file(volume).stat().st_size == 1 << 30
    assert cloud.file(volume).stat().st_blocks * 512 < 1 << 20, "zeros take no room"
    shown = cloud.ok("GET", f"/volumes/{volume}")["volume"]
    assert shown["bootable"] == "true"
    facts = shown["volume_image_metadata"]
    assert (facts["image_id"], facts["image_name"], facts["hw_disk_bus"]) == (image, "guest", "virtio")


def test_qcow2_image_is_converted_whatever_it_is_called(cloud: Cloud, images: ImageServer, tmp_path: Path) -> None:
    volume = from_image(cloud, images.add(qcow2(tmp_path), disk_format="raw"))
    cloud.settled(volume, "available")
    assert io(str(cloud.file(volume)), "read -P 6 1M 1M", "read -P 0 2M 62M", read_only=True)


@pytest.mark.parametrize("trick", [("-b", "/etc/passwd", "-F", "raw"), ("-o", "data_file=/etc/hostname")])
def test_image_that_names_another_file_is_refused(
    cloud: Cloud, images: ImageServer, tmp_path: Path, trick: tuple[str, ...]
) -> None:
    if trick[0] == "-o":
        trick = ("-o", f"data_file={tmp_path / 'data.raw'}")
    volume = from_image(cloud, images.add(qcow2(tmp_path, *trick), disk_format="qcow2"))
    assert "another file" in fault(cloud, volume)


def test_wrong_checksum(cloud: Cloud, images: ImageServer) -> None:
    image = images.add(RAW, os_hash_value=hashlib.sha512(b"other").hexdigest())
    assert "checksum" in fault(cloud, from_image(cloud, image))


def test_broken_transfer_is_repeated(cloud: Cloud, images: ImageServer) -> None:
    image = images.add(RAW)
    images.cut = 2
    cloud.settled(from_image(cloud, image), "available")
    assert images.cut == 0


def test_image_that_does_not_fit(cloud: Cloud, images: ImageServer, tmp_path: Path) -> None:
    for fields in ({"min_disk": 2}, {"virtual_size": (1 << 30) + 1}):
        answer = cloud.call("POST", "/volumes", {"volume": {"size": 1, "imageRef": images.add(RAW, **fields)}})
        assert answer.status_code == 400, answer.text
    file = tmp_path / "large.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(file), "2G"], check=True)
    assert "larger than volume" in fault(cloud, from_image(cloud, images.add(file.read_bytes())))


def test_unknown_and_inactive_images(cloud: Cloud, images: ImageServer) -> None:
    for image in (str(uuid.uuid4()), images.add(RAW, status="queued")):
        assert cloud.call("POST", "/volumes", {"volume": {"size": 1, "imageRef": image}}).status_code == 400


def test_killed_service_resumes_the_download(cloud: Cloud, images: ImageServer) -> None:
    images.hold.set()
    volume = from_image(cloud, images.add(RAW))
    assert images.started.wait(10)
    until(lambda: cloud.status(volume) == "downloading")
    cloud.kill("volume")
    images.release()
    cloud.start("volume")
    cloud.settled(volume, "available")
    with cloud.file(volume).open("rb") as file:
        assert file.read(len(RAW)) == RAW
    assert not list(cloud.file(volume).parent.glob("*.part"))


def test_delete_stops_a_download(cloud: Cloud, images: ImageServer) -> None:
    images.hold.set()
    image = images.add(bytes(range(256)) * (64 << 10))
    volume = from_image(cloud, image)
    until(lambda: cloud.status(volume) == "downloading")
    assert images.started.wait(10)
    assert cloud.call("DELETE", f"/volumes/{volume}").status_code == 400, "Cinder's answer to a tenant"
    assert cloud.call("DELETE", f"/volumes/{volume}", user="nova").status_code == 202, "a build is undone at once"
    images.release()
    until(lambda: cloud.status(volume) == "gone")
    assert not list(cloud.file(volume).parent.glob(f"{volume}*"))


def test_full_disk(cloud: Cloud, images: ImageServer) -> None:
    """The volume store is a small file system, which exists only in the service's own mount namespace."""
    size = 'mount -t tmpfs -o size=2m tmpfs $0/volumes && exec "$@"'
    wrap = ["unshare", "-m", "sh", "-c", size, str(cloud.settings.state_dir)]
    if os.geteuid() != 0 or subprocess.run([*wrap, "true"], capture_output=True).returncode:
        pytest.skip("mount namespaces are not allowed here")
    cloud.kill("volume", 15)
    cloud.wrap = wrap
    try:
        cloud.start("volume")
        volume = from_image(cloud, images.add(os.urandom(3 << 20)))
        cloud.settled(volume, "error")
        left = Path(f"/proc/{cloud.processes['volume'].pid}/root{cloud.file(volume).parent}")
        assert [file.name for file in left.iterdir()] == [".reserve"]
        messages = cloud.ok("GET", f"/messages?resource_uuid={volume}")["messages"]
        assert "no space left" in messages[0]["user_message"]
    finally:
        cloud.wrap = []
        cloud.kill("volume", 15)
        cloud.start("volume")


def test_fault_is_told_only_to_its_project(cloud: Cloud, images: ImageServer) -> None:
    image = images.add(RAW, os_hash_value="0" * 128)
    volume = from_image(cloud, image)
    cloud.settled(volume, "error")
    stranger = cloud.person("stranger-to-faults", "member", project="admin")
    assert cloud.ok("GET", "/messages", user=stranger)["messages"] == []
    assert volume in json.dumps(cloud.ok("GET", "/messages", user="admin")), "administrators hear of all projects"
    cloud.delete(volume)
