"""Images on a host: one download, resumed, verified, refused, evicted; overlays; full disks."""

import itertools
import json
import os
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError

from activities.image import Image
from infra.contracts.errors import HOPELESS, HOST_CANNOT
from infra.contracts.image import ImageOnHost
from infra.host.files.images import ImageStore
from infra.host.services.fence import Fence
from infra.settings import Settings
from tests.host.cloud import Cloud, new_id, until
from tests.host.glance import Glance, StoredImage
from tests.host.steps import run

MIB = 1 << 20


def quiet(*_: Any) -> None:
    pass


def raw_image(size: int = 4 * MIB) -> bytes:
    return os.urandom(size)


def qcow2_image(directory: Path, *options: str, size: str = "64M") -> bytes:
    file = directory / "made.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *options, str(file), size], check=True)
    return file.read_bytes()


@pytest.fixture
def real(host: Settings) -> Settings:
    """A host whose images are real."""
    return host.model_copy(update={"virt_type": "qemu", "libvirt_uri": "qemu:///system"})


@pytest.fixture
def store(cloud: Cloud, real: Settings) -> ImageStore:
    return ImageStore(real, cloud.session)


def want(image_id: str, disk_gb: int = 0, instance_id: str = "") -> ImageOnHost:
    return ImageOnHost(instance_id=instance_id or new_id(), image_id=image_id, disk_gb=disk_gb)


def info(path: str) -> dict[str, Any]:
    done = subprocess.run(["qemu-img", "info", "--output=json", path], check=True, capture_output=True)
    facts: dict[str, Any] = json.loads(done.stdout)
    return facts


def add(glance: Glance, data: bytes, **facts: Any) -> str:
    image_id = new_id()
    glance.images[image_id] = StoredImage(data, **facts)
    return image_id


def disk_of(settings: Settings, want: ImageOnHost) -> Path:
    return settings.host_dir / "instances" / want.instance_id / "disk"


def files(settings: Settings, pattern: str) -> list[str]:
    return sorted(file.name for file in settings.host_dir.glob(pattern))


def test_overlay_over_one_download(glance: Glance, store: ImageStore, real: Settings, tmp_path: Path) -> None:
    image_id = add(glance, qcow2_image(tmp_path))
    first = want(image_id, disk_gb=1)
    disk = store.fetch(first, quiet)
    assert disk.downloaded_bytes == len(glance.images[image_id].data) and set(disk.parts) == {"image", "overlay"}
    path = disk_of(real, first)
    facts = info(str(path))
    assert (facts["format"], facts["virtual-size"], facts["backing-filename-format"]) == ("qcow2", 1 << 30, "qcow2")
    path.write_bytes(path.read_bytes() + b"written by the guest")
    store.fetch(first, quiet)
    assert path.read_bytes().endswith(b"by the guest"), "a repeat changed it"
    other = want(image_id)
    second = store.fetch(other, quiet)
    assert second.downloaded_bytes == 0 and len(glance.downloads) == 1
    assert info(str(disk_of(real, other)))["virtual-size"] == 64 * MIB
    assert (real.host_dir / "images" / image_id).stat().st_mode & 0o222 == 0
    for _ in range(2):
        store.remove(first.instance_id)
    assert not path.parent.exists() and (real.host_dir / "images" / image_id).exists()


def test_an_image_is_in_the_cache_before_anything_is_changed(glance: Glance, store: ImageStore, real: Settings) -> None:
    """A rebuild's first step on its host."""
    image_id = add(glance, raw_image(2 * MIB))
    step = Image(store, Fence(real.host, None)).cache_image
    assert run(step, want(image_id)).downloaded_bytes == 2 * MIB
    assert run(step, want(image_id)).downloaded_bytes == 0
    assert not disk_of(real, want(image_id)).exists() and len(glance.downloads) == 1


def test_many_builds_one_download(glance: Glance, store: ImageStore) -> None:
    image_id = add(glance, raw_image(2 * MIB))
    glance.chunk_pause = 0.02
    results: list[Any] = []
    threads = [threading.Thread(target=lambda: results.append(store.fetch(want(image_id), quiet))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(results) == 6 and len(glance.downloads) == 1
    assert sorted(result.downloaded_bytes > 0 for result in results) == [False] * 5 + [True]


def fetch_in_process(settings: Settings, image_id: str) -> subprocess.Popen[bytes]:
    code = (
        "import sys; from infra.settings import Settings; from infra.openstack import service_session\n"
        "from infra.host.files.images import ImageStore; from infra.contracts.image import ImageOnHost\n"
        "s = Settings.model_validate_json(sys.argv[1]); s.service_password = type(s.service_password)(sys.argv[2])\n"
        "ImageStore(s, service_session(s)).fetch(ImageOnHost(instance_id='i', image_id=sys.argv[3], disk_gb=0),"
        " lambda *_: None)"
    )
    password = settings.service_password.get_secret_value()
    return subprocess.Popen([sys.executable, "-c", code, settings.model_dump_json(), password, image_id])


def test_killed_download_is_resumed(glance: Glance, store: ImageStore, real: Settings) -> None:
    image_id = add(glance, raw_image(4 * MIB))
    glance.chunk_pause = 0.05
    part = real.host_dir / "images" / f"{image_id}.part"
    process = fetch_in_process(real, image_id)
    until(lambda: part.exists() and part.stat().st_size >= MIB)
    process.send_signal(signal.SIGKILL)
    process.wait(10)
    had = part.stat().st_size
    assert 0 < had < 4 * MIB
    glance.chunk_pause = 0
    disk = store.fetch(want(image_id), quiet)
    assert disk.downloaded_bytes == 4 * MIB - had
    assert glance.downloads[-1] == (image_id, f"bytes={had}-")
    assert (real.host_dir / "images" / image_id).read_bytes() == glance.images[image_id].data
    assert not part.exists()


def test_two_processes_one_download(glance: Glance, store: ImageStore, real: Settings) -> None:
    image_id = add(glance, raw_image(2 * MIB))
    glance.chunk_pause = 0.03
    process = fetch_in_process(real, image_id)
    until(lambda: glance.downloads)
    assert store.fetch(want(image_id), quiet).downloaded_bytes == 0
    assert process.wait(20) == 0 and len(glance.downloads) == 1


def test_broken_connection_is_transient_and_resumed(glance: Glance, store: ImageStore) -> None:
    image_id = add(glance, raw_image(4 * MIB))
    glance.cut_after = 2 * MIB
    with pytest.raises(Exception) as failure:
        store.fetch(want(image_id), quiet)
    assert not isinstance(failure.value, ApplicationError)
    disk = store.fetch(want(image_id), quiet)
    assert 0 < disk.downloaded_bytes < 4 * MIB and glance.downloads[-1][1].startswith("bytes=")


def test_range_may_be_ignored_and_a_spoilt_part_is_fetched_anew(
    glance: Glance, store: ImageStore, real: Settings
) -> None:
    image_id = add(glance, raw_image(2 * MIB))
    part = real.host_dir / "images" / f"{image_id}.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(glance.images[image_id].data[:MIB])
    glance.ignore_range = True
    assert store.fetch(want(image_id), quiet).downloaded_bytes == 2 * MIB
    other = add(glance, raw_image(2 * MIB))
    glance.ignore_range = False
    part.with_name(f"{other}.part").write_bytes(b"x" * MIB)
    store.fetch(want(other), quiet)
    assert [ranged for image, ranged in glance.downloads if image == other] == [f"bytes={MIB}-", ""]
    assert part.with_name(other).read_bytes() == glance.images[other].data


def refused(store: ImageStore, image_id: str, **more: Any) -> ApplicationError:
    with pytest.raises(ApplicationError) as failure:
        store.fetch(want(image_id, **more), quiet)
    return failure.value


def test_bad_images_are_hopeless(glance: Glance, store: ImageStore, real: Settings, tmp_path: Path) -> None:
    base = tmp_path / "base"
    base.write_bytes(raw_image())
    subprocess.run(["qemu-img", "create", "-q", "-f", "vmdk", str(tmp_path / "made.vmdk"), "8M"], check=True)
    tricky = bytearray(qcow2_image(tmp_path))
    tricky[72:80] = struct.pack(">Q", 4)  # claims an external data file
    encrypted = bytearray(qcow2_image(tmp_path))
    encrypted[32:36] = struct.pack(">I", 1)
    cases = {
        new_id(): "could not be found",
        add(glance, raw_image(), status="queued"): "is not active",
        add(glance, raw_image(), digest="0" * 128): "do not match its checksum",
        add(glance, qcow2_image(tmp_path, "-b", str(base), "-F", "raw"), disk_format="raw"): "has a backing file",
        add(glance, bytes(tricky)): "external data file",
        add(glance, bytes(encrypted)): "is encrypted",
        add(glance, (tmp_path / "made.vmdk").read_bytes(), disk_format="raw"): "format vmdk is not supported",
    }
    for image_id, words in cases.items():
        error = refused(store, image_id)
        assert error.type == HOPELESS and words in error.message, error.message
        assert str(real.host_dir) not in error.message
    assert files(real, "images/*.part") == [] and files(real, "instances/*") == []
    assert not [name for name in files(real, "images/*") if not name.endswith(".lock")]


def test_names_from_outside_are_no_paths(store: ImageStore) -> None:
    assert refused(store, "../../etc/passwd").type == HOPELESS
    assert refused(store, new_id(), instance_id="..").type == HOPELESS


def test_format_is_read_not_believed(glance: Glance, store: ImageStore, real: Settings, tmp_path: Path) -> None:
    store.fetch(labelled_raw := want(add(glance, qcow2_image(tmp_path), disk_format="raw")), quiet)
    assert info(str(disk_of(real, labelled_raw)))["backing-filename-format"] == "qcow2"
    store.fetch(labelled_qcow2 := want(add(glance, raw_image(), disk_format="qcow2")), quiet)
    assert info(str(disk_of(real, labelled_qcow2)))["backing-filename-format"] == "raw"


def test_flavor_smaller_than_image(glance: Glance, store: ImageStore, real: Settings, tmp_path: Path) -> None:
    image_id = add(glance, qcow2_image(tmp_path, size="3G"))
    error = refused(store, image_id, disk_gb=2)
    assert error.type == HOPELESS and error.details[0] == {"code": 400}
    assert error.message == (
        f"Flavor's disk is too small for requested image. Flavor disk is {2 << 30} bytes, image is {3 << 30} bytes."
    )
    assert files(real, "instances/*") == []


def test_heartbeats_while_waiting(glance: Glance, store: ImageStore) -> None:
    image_id = add(glance, raw_image(2 * MIB))
    glance.chunk_pause = 0.08
    beats: list[tuple[float, Any]] = []
    store.fetch(want(image_id), lambda *details: beats.append((time.monotonic(), details)))
    gaps = [later[0] - earlier[0] for earlier, later in itertools.pairwise(beats)]
    assert len(beats) >= 2 and max(gaps) < 2
    assert any(0 < details[0]["bytes"] < 2 * MIB for _, details in beats if details)
    assert beats[-1][1][0]["image_id"] == image_id


@pytest.fixture
def small_disk(real: Settings) -> Iterator[Settings]:
    """A host whose directory is a file system of 20 MiB."""
    real.host_dir.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", str(real.host_dir)], check=True)
    yield real
    subprocess.run(["umount", str(real.host_dir)], check=True)


def test_full_disk_is_this_hosts_failure(cloud: Cloud, glance: Glance, small_disk: Settings) -> None:
    store = ImageStore(small_disk, cloud.session)
    store.cache._reserve = 0
    too_big = add(glance, raw_image(24 * MIB))
    assert refused(store, too_big).type == HOST_CANNOT
    assert glance.downloads == [], "it was known not to fit"
    fills = small_disk.host_dir / "other"
    image_id = add(glance, raw_image(12 * MIB))
    glance.chunk_pause = 0.01
    threading.Timer(0.3, lambda: fills.write_bytes(b"x" * 14 * MIB)).start()
    error = refused(store, image_id)
    assert error.type == HOST_CANNOT and "no space left" in error.message
    assert files(small_disk, "images/*.part") == []
    fills.unlink()
    store.fetch(want(image_id), quiet)


def test_unused_images_are_evicted_by_age(cloud: Cloud, glance: Glance, small_disk: Settings) -> None:
    store = ImageStore(small_disk, cloud.session)
    store.cache._reserve = 0
    used, old, newer = (add(glance, raw_image(6 * MIB)) for _ in range(3))
    store.fetch(want(used), quiet)
    for number, image_id in enumerate((old, newer)):
        build = want(image_id)
        store.fetch(build, quiet)
        store.remove(build.instance_id)
        record = small_disk.host_dir / "images" / f"{image_id}.json"
        os.utime(record, (1000 + number, 1000 + number))
    store.fetch(want(add(glance, raw_image(6 * MIB))), quiet)
    assert (small_disk.host_dir / "images" / used).exists() and (small_disk.host_dir / "images" / newer).exists()
    assert not (small_disk.host_dir / "images" / old).exists()


def test_placeholder_under_the_test_driver(cloud: Cloud, host: Settings) -> None:
    store = ImageStore(host, cloud.session)
    asked = want(new_id())
    disk = store.fetch(asked, quiet)
    assert disk_of(host, asked).exists() and disk.downloaded_bytes == 0
    store.remove(asked.instance_id)
    assert files(host, "instances/*") == []
