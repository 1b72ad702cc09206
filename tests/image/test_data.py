"""Data: what was sent is what is served, whole or not at all."""

import hashlib
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.image.cloud import OCTETS, Api, Cloud, identity, process

MIB = 1 << 20


def test_upload_is_measured_and_hashed(demo: Api) -> None:
    data = os.urandom(3 * MIB + 17)
    image = demo.active(data)
    assert (image["status"], image["size"], image["virtual_size"]) == ("active", len(data), len(data))
    assert image["checksum"] == hashlib.md5(data).hexdigest()
    assert (image["os_hash_algo"], image["os_hash_value"]) == ("sha512", hashlib.sha512(data).hexdigest())
    answer = demo.download(image)
    assert answer.content == data
    assert answer.headers["content-md5"] == image["checksum"]
    assert answer.headers["content-length"] == str(len(data))
    assert answer.headers["content-type"] == "application/octet-stream"


def test_data_is_private_on_disk(demo: Api, cloud: Cloud) -> None:
    image = demo.active()
    path = cloud.settings.state_dir / "images" / image["id"]
    assert path.stat().st_mode & 0o077 == 0 and path.parent.stat().st_mode & 0o077 == 0


def test_chunked_upload_and_empty_image(demo: Api) -> None:
    image = demo.create()
    path = f"/images/{image['id']}/file"
    demo.call("PUT", path, 204, content=iter([b"ab", b"cd"]), headers=OCTETS)
    assert demo.download(image).content == b"abcd"
    empty = demo.active(b"")
    assert empty["size"] == 0 and demo.download(empty).content == b""


def test_upload_preconditions(demo: Api, other: Api) -> None:
    image = demo.create()
    path = f"/images/{image['id']}/file"
    demo.call("PUT", path, 415, content=b"x", headers={"Content-Type": "text/plain"})
    other.call("PUT", path, 404, content=b"x", headers=OCTETS)
    assert demo.download(image, 204).content == b""
    bare = demo.create(disk_format=None)
    assert "disk_format" in demo.upload(bare, b"x", 400)["message"]
    demo.upload(image, b"first")
    assert "from active to saving" in demo.upload(image, b"second", 409)["message"]
    demo.upload({"id": str(uuid.uuid4())}, b"x", 404)
    assert demo.download(image).content == b"first"


def test_announced_size_is_held_to(demo: Api, cloud: Cloud) -> None:
    image = demo.create()
    headers = {"x-openstack-image-size": "5"}
    demo.upload(image, b"four", 400, **headers)
    assert demo.show(image)["status"] == "queued" and not _files(cloud, image["id"])
    demo.upload(image, b"five!", 204, **headers)


@pytest.mark.parametrize("length", ["Content-Length: 5000000", "Transfer-Encoding: chunked"])
def test_broken_off_upload_leaves_nothing_and_can_be_repeated(demo: Api, cloud: Cloud, length: str) -> None:
    image = demo.create()
    with socket.create_connection(("127.0.0.1", cloud.settings.port("image"))) as wire:
        head = f"PUT /v2/images/{image['id']}/file HTTP/1.1\r\nHost: x\r\nX-Auth-Token: {demo.token}\r\n{length}\r\n"
        wire.sendall(head.encode() + b"Content-Type: application/octet-stream\r\n\r\n")
        wire.sendall(b"1e8480\r\n" if "chunked" in length else b"")
        wire.sendall(b"z" * 2_000_000)
        _until(lambda: demo.show(image)["status"] == "saving")
        assert len(_files(cloud, image["id"])) == 1
    _until(lambda: demo.show(image)["status"] == "queued")
    _until(lambda: not _files(cloud, image["id"]))
    demo.upload(image, b"again")
    assert demo.download(image).content == b"again"


def test_of_concurrent_uploads_one_wins(demo: Api, cloud: Cloud) -> None:
    image = demo.create()
    candidates = [bytes([n]) * 2 * MIB for n in range(8)]

    def put(data: bytes) -> int:
        path = f"{demo.url}/v2/images/{image['id']}/file"
        headers = OCTETS | {"X-Auth-Token": demo.token}
        return httpx.put(path, content=data, headers=headers, timeout=60).status_code

    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(put, candidates))
    assert sorted(statuses) == [204] + [409] * 7
    assert demo.download(image).content == candidates[statuses.index(204)]
    assert _files(cloud, image["id"]) == [image["id"]]


def test_concurrent_uploads_of_many_images(demo: Api) -> None:
    def one(n: int) -> bool:
        data = os.urandom(MIB + n)
        return demo.download(demo.active(data)).content == data

    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(one, range(12)))


def test_deleted_while_uploading(demo: Api, cloud: Cloud) -> None:
    image, go = demo.create(), threading.Event()

    def slowly() -> Iterator[bytes]:
        yield b"x" * MIB
        go.wait(20)
        yield b"y"

    with ThreadPoolExecutor(1) as pool:
        path = f"/images/{image['id']}/file"
        answer = pool.submit(demo.call, "PUT", path, 410, content=slowly(), headers=OCTETS)
        second = Api(demo.url, demo.token, demo.project_id)
        _until(lambda: second.show(image)["status"] == "saving")
        second.delete(image)
        go.set()
        assert "deleted" in answer.result(20)["message"]
    assert not _files(cloud, image["id"])


@pytest.mark.parametrize(
    ("header", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=100-199", 100, 200),
        ("bytes=2097152-", 2 * MIB, None),
        ("bytes=-5", -5, None),
        ("bytes=0-99999999999", 0, None),
    ],
)
def test_ranges(anyone: Api, header: str, start: int, end: int | None) -> None:
    data = os.urandom(2 * MIB + 100)
    image = anyone.active(data)
    answer = anyone.download(image, 206, Range=header)
    assert answer.content == data[start:end]
    first = start % len(data)
    assert answer.headers["content-range"] == f"bytes {first}-{first + len(answer.content) - 1}/{len(data)}"
    assert "content-md5" not in answer.headers


def test_unsatisfiable_and_unknown_ranges(demo: Api) -> None:
    image = demo.active(b"0123456789")
    for header in ("bytes=10-", "bytes=-0", "bytes=5-2"):
        assert demo.download(image, 416, Range=header).headers["content-range"] == "bytes */10"
    for header in ("bytes=0-1,3-4", "lines=1-2", "bytes=-", "bytes=x"):
        assert demo.download(image, 200, Range=header).content == b"0123456789"


def test_interrupted_download_resumes_where_it_stopped(demo: Api) -> None:
    data = os.urandom(5 * MIB)
    image, got = demo.active(data), b""
    with demo.http.stream("GET", f"/images/{image['id']}/file") as answer:
        for chunk in answer.iter_bytes(MIB):
            got += chunk
            if len(got) >= 2 * MIB:
                break
    got += demo.download(image, 206, Range=f"bytes={len(got)}-").content
    assert hashlib.sha512(got).hexdigest() == image["os_hash_value"]


def test_download_outlives_deletion(demo: Api) -> None:
    data = os.urandom(20 * MIB)
    image = demo.active(data)
    with demo.http.stream("GET", f"/images/{image['id']}/file") as answer:
        stream = answer.iter_bytes(MIB)
        got = next(stream)
        Api(demo.url, demo.token, demo.project_id).delete(image)
        assert got + b"".join(stream) == data


def test_damaged_data_is_not_served_as_whole(demo: Api, cloud: Cloud) -> None:
    image = demo.active(b"x" * 1000)
    (cloud.settings.state_dir / "images" / image["id"]).write_bytes(b"x" * 10)
    assert "damaged" in demo.download(image, 500).json()["message"]


def test_deactivated_image_is_kept_from_download(demo: Api, admin: Api) -> None:
    image = demo.active()
    path = f"/images/{image['id']}/actions"
    demo.call("POST", f"{path}/deactivate", 403)
    admin.call("POST", f"{path}/deactivate", 204)
    assert demo.show(image)["status"] == "deactivated"
    demo.download(image, 403)
    assert admin.download(image).content
    admin.call("POST", f"{path}/reactivate", 204)
    demo.download(image, 200)
    admin.call("POST", f"/images/{demo.create()['id']}/actions/deactivate", 409)


def test_staging_and_import(demo: Api, cloud: Cloud) -> None:
    image = demo.create()
    path, method = f"/images/{image['id']}", {"method": {"name": "glance-direct"}}
    demo.call("POST", f"{path}/import", 409, json=method)
    demo.call("PUT", f"{path}/stage", 204, content=b"staged", headers=OCTETS)
    assert demo.show(image)["status"] == "uploading" and demo.show(image)["size"] is None
    demo.upload(image, b"other", 409)
    demo.call("DELETE", f"{path}/stage", 204)
    assert demo.show(image)["status"] == "queued" and not _files(cloud, image["id"])
    demo.call("PUT", f"{path}/stage", 204, content=b"staged", headers=OCTETS)
    demo.call("POST", f"{path}/import", 501, json={"method": {"name": "web-download"}})
    demo.call("POST", f"{path}/import", 400, json={"method": "glance-direct"})
    demo.call("POST", f"{path}/import", 202, json=method)
    shown = demo.show(image)
    assert shown["status"] == "active" and shown["checksum"] == hashlib.md5(b"staged").hexdigest()
    assert demo.download(image).content == b"staged"
    assert _files(cloud, image["id"]) == [image["id"]]


def test_full_disk(tmp_path_factory: pytest.TempPathFactory) -> None:
    with identity(tmp_path_factory.mktemp("full")) as cloud, process(cloud.settings, str(4 * MIB)):
        demo = cloud.known("demo", "demo")
        image = demo.create()
        assert "storage media is full" in demo.upload(image, bytes(6 * MIB), 413)["message"]
        assert demo.show(image)["status"] == "queued" and cloud.files() == []
        demo.upload(image, bytes(MIB))
        assert "storage media is full" in _refused_at_once(demo, cloud)


def _refused_at_once(demo: Api, cloud: Cloud) -> str:
    """Answer to an upload that announces more than any disk has, without its body."""
    image = demo.create()
    with socket.create_connection(("127.0.0.1", cloud.settings.port("image"))) as wire:
        head = f"PUT /v2/images/{image['id']}/file HTTP/1.1\r\nHost: x\r\nX-Auth-Token: {demo.token}\r\n"
        head += f"Content-Length: {1 << 60}\r\nContent-Type: application/octet-stream\r\n\r\n"
        wire.sendall(head.encode())
        wire.settimeout(20)
        answer = wire.recv(65536).decode()
        while "</html>" not in answer:
            answer += wire.recv(65536).decode()
    assert answer.startswith("HTTP/1.1 413")
    return answer


def test_killed_service_recovers(tmp_path_factory: pytest.TempPathFactory) -> None:
    with identity(tmp_path_factory.mktemp("killed")) as cloud:
        with process(cloud.settings) as running:
            demo = cloud.known("demo", "demo")
            whole, torn, staged = demo.active(b"whole"), demo.create(), demo.create()
            demo.call("PUT", f"/images/{staged['id']}/stage", 204, content=b"staged", headers=OCTETS)
            with socket.create_connection(("127.0.0.1", cloud.settings.port("image"))) as wire:
                head = f"PUT /v2/images/{torn['id']}/file HTTP/1.1\r\nHost: x\r\nX-Auth-Token: {demo.token}\r\n"
                head += "Content-Length: 9000000\r\nContent-Type: application/octet-stream\r\n\r\n"
                wire.sendall(head.encode() + bytes(3 * MIB))
                _until(lambda: demo.show(torn)["status"] == "saving")
                running.kill()
                running.wait()
        (cloud.settings.state_dir / "images" / str(uuid.uuid4())).write_bytes(b"of nobody")
        assert len(cloud.files()) == 4
        with process(cloud.settings):
            demo = cloud.known("demo", "demo")
            assert demo.show(torn)["status"] == "queued"
            assert cloud.files() == sorted([whole["id"], staged["id"] + ".stage"])
            demo.upload(torn, b"mended")
            demo.call("POST", f"/images/{staged['id']}/import", 202, json={"method": {"name": "glance-direct"}})
            assert [demo.download(i).content for i in (whole, torn, staged)] == [b"whole", b"mended", b"staged"]


def _files(cloud: Cloud, image_id: str) -> list[str]:
    return [name for name in cloud.files() if image_id in name]


def _until(condition: object, seconds: float = 20) -> None:
    assert callable(condition)
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.02)
