"""Glance as we run it: whole uploads or none, private files, limits, and what service users may do."""

import hashlib
import os
import socket
import subprocess
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.embedded.people import Api, Make
from tests.openstack import OpenStack
from tests.signed_in import environment

MIB = 1 << 20


def until(true: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


def files(openstack: OpenStack, image: dict[str, str]) -> list[Path]:
    return list((openstack.settings.state_dir / "images").rglob(f"*{image['id']}*"))


def test_an_upload_is_hashed_served_and_private_on_disk(openstack: OpenStack, make: Make) -> None:
    api, data = make().sign_in(), os.urandom(3 * MIB + 17)
    image = api.image(data)
    assert (image["status"], image["size"]) == ("active", len(data))
    assert (image["os_hash_algo"], image["os_hash_value"]) == ("sha512", hashlib.sha512(data).hexdigest())
    assert api.ok("GET", f"/v2/images/{image['id']}/file", None, "image").content == data
    part = api.ok("GET", f"/v2/images/{image['id']}/file", None, "image", headers={"Range": "bytes=1048576-1048585"})
    assert part.content == data[MIB : MIB + 10]
    (file,) = files(openstack, image)
    assert file.stat().st_mode & 0o077 == 0
    chunked = api.image()
    assert api.upload(chunked, iter([b"ab", b"cd"])).status_code == 204
    assert api.ok("GET", f"/v2/images/{chunked['id']}/file", None, "image").content == b"abcd"


@pytest.mark.parametrize("framing", ["Content-Length: 5000000", "Transfer-Encoding: chunked"])
def test_an_upload_that_breaks_off_is_no_image(openstack: OpenStack, make: Make, framing: str) -> None:
    api = make().sign_in()
    image = api.image()
    with socket.create_connection(("127.0.0.1", openstack.settings.port("image"))) as wire:
        head = f"PUT /v2/images/{image['id']}/file HTTP/1.1\r\nHost: x\r\nX-Auth-Token: {api.token}\r\n{framing}\r\n"
        wire.sendall(head.encode() + b"Content-Type: application/octet-stream\r\n\r\n")
        wire.sendall((b"1e8480\r\n" if "chunked" in framing else b"") + b"z" * 2_000_000)
        until(lambda: api.show(image)["status"] == "saving")
    until(lambda: api.show(image)["status"] == "queued")
    until(lambda: not files(openstack, image))
    assert api.upload(image, b"again").status_code == 204


def test_slow_uploads_hold_nobody_up(openstack: OpenStack, make: Make) -> None:
    api = make().sign_in()
    wires = []
    for _ in range(12):  # more than there are threads for uploads
        image = api.image()
        wire = socket.create_connection(("127.0.0.1", openstack.settings.port("image")))
        head = f"PUT /v2/images/{image['id']}/file HTTP/1.1\r\nHost: x\r\nX-Auth-Token: {api.token}\r\n"
        wire.sendall(f"{head}Content-Type: application/octet-stream\r\nContent-Length: 9000000\r\n\r\n".encode())
        wires.append(wire)
    begun = time.monotonic()
    api.ok("GET", "/v2/images", None, "image")
    assert time.monotonic() - begun < 5
    for wire in wires:
        wire.close()


def test_uploads_at_once(make: Make) -> None:
    api = make().sign_in()

    def one(number: int) -> bool:
        data = os.urandom(MIB + number)
        image = api.image(data)
        return bool(api.ok("GET", f"/v2/images/{image['id']}/file", None, "image").content == data)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(one, range(16)))


def test_an_image_without_a_token_costs_nothing(openstack: OpenStack, make: Make) -> None:
    image = make().sign_in().image()
    with socket.create_connection(("127.0.0.1", openstack.settings.port("image"))) as wire:
        head = f"PUT /v2/images/{image['id']}/file HTTP/1.1\r\nHost: x\r\nContent-Length: {300 * MIB}\r\n"
        wire.sendall(f"{head}Content-Type: application/octet-stream\r\n\r\n".encode())
        assert b" 401 " in wire.recv(4096)  # although not one byte of the body was sent


def test_content_that_is_not_what_it_says_is_refused(make: Make, tmp_path: Path) -> None:
    """A qcow2 that names another file is dangerous under any name: whoever opens it by its content reads that file."""
    backed = tmp_path / "backed.qcow2"
    subprocess.run(
        ["qemu-img", "create", "-q", "-f", "qcow2", "-u", "-b", "/etc/shadow", "-F", "raw", backed, "1M"], check=True
    )
    api = make().sign_in()
    for declared, data in (("raw", backed.read_bytes()), ("qcow2", backed.read_bytes()), ("qcow2", bytes(MIB))):
        image = api.image(disk_format=declared)
        assert api.upload(image, data).status_code in (400, 415)
        assert api.show(image)["status"] != "active"


@pytest.mark.parametrize("container", ["ovf", "ova", "docker", "compressed", "ami"])
def test_containers_that_no_host_opens_are_refused(make: Make, container: str) -> None:
    """Glance looks at the content of bare images only."""
    body = {"name": "i", "disk_format": "raw", "container_format": container}
    assert make().sign_in()("POST", "/v2/images", body, "image").status_code == 400


@pytest.mark.parametrize(
    "uri",
    ["http://127.0.0.1/x", "http://localhost/x", "http://169.254.169.254/x", "file:///etc/shadow", "http://[::1]/x"],
)
def test_an_import_from_inside_is_refused(make: Make, uri: str) -> None:
    api = make().sign_in()
    image = api.image()
    body = {"method": {"name": "web-download", "uri": uri}}
    assert api("POST", f"/v2/images/{image['id']}/import", body, "image").status_code == 400
    assert api.show(image)["status"] == "queued"


def test_glance_direct(make: Make) -> None:
    api, data = make().sign_in(), os.urandom(MIB)
    image = api.image()
    octets = {"Content-Type": "application/octet-stream"}
    api.ok("PUT", f"/v2/images/{image['id']}/stage", None, "image", content=data, headers=octets)
    body = {"method": {"name": "glance-direct"}}
    api.ok("POST", f"/v2/images/{image['id']}/import", body, "image")
    until(lambda: api.show(image)["status"] == "active")
    assert api.ok("GET", f"/v2/images/{image['id']}/file", None, "image").content == data


def test_service_users_read_every_image_and_change_none(openstack: OpenStack, make: Make) -> None:
    owner, compute = make().sign_in(), Api(openstack, openstack.token("host-kh1"))
    private = owner.image(b"mine", visibility="private")
    path = f"/v2/images/{private['id']}"
    assert make().sign_in()("GET", path, None, "image").status_code == 404
    assert compute.ok("GET", f"{path}/file", None, "image").content == b"mine"
    patch = '[{"op": "replace", "path": "/name", "value": "theirs"}]'
    kind = {"Content-Type": "application/openstack-images-v2.1-json-patch"}
    refused = [
        compute("DELETE", path, None, "image"),
        compute("PATCH", path, None, "image", content=patch, headers=kind),
        compute("POST", f"{path}/actions/deactivate", None, "image"),
        compute("POST", f"{path}/members", {"member": "x"}, "image"),
        compute("GET", f"{path}/members", None, "image"),
        compute("GET", "/v2/images", None, "image"),
        compute("POST", "/v2/images", {"name": "i", "disk_format": "raw", "container_format": "bare"}, "image"),
    ]
    assert {answer.status_code for answer in refused} == {403}
    assert owner.show(private)["name"] == "i"


def test_a_reader_changes_nothing(make: Make) -> None:
    reader = make("reader").sign_in()
    body = {"name": "i", "disk_format": "raw", "container_format": "bare"}
    assert reader("POST", "/v2/images", body, "image").status_code == 403


def test_the_client_goes_an_images_whole_way(openstack: OpenStack, openstack_client: str, tmp_path: Path) -> None:
    disk, name = tmp_path / "disk.qcow2", f"i-{uuid.uuid4().hex[:8]}"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", disk, "1M"], check=True)
    env = {**os.environ, **environment(openstack.settings, "demo")}

    def run(*words: str, fails: bool = False) -> str:
        done = subprocess.run([openstack_client, *words], env=env, capture_output=True, text=True, timeout=60)
        assert bool(done.returncode) == fails, done.stdout + done.stderr
        return done.stderr if fails else done.stdout

    run("image", "create", "--disk-format", "qcow2", "--property", "os_distro=cirros", "--file", str(disk), name)
    assert "os_distro='cirros'" in run("image", "show", name)
    run("image", "save", "--file", str(tmp_path / "saved"), name)
    assert (tmp_path / "saved").read_bytes() == disk.read_bytes()
    assert "Forbidden" in run("image", "set", "--public", name, fails=True)
    run("image", "delete", name)
