"""A copy of a real guest's disk: while it runs, while it is off, after a try that broke off."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from temporalio.exceptions import ApplicationError

from infra.contracts.errors import HOST_CANNOT
from infra.contracts.power import PowerOff
from infra.contracts.snapshot import SnapshotOnHost
from infra.host.files.disk_tool import DiskTool
from infra.host.files.download import Progress
from infra.host.files.owner import Owner
from infra.host.services.glance import _chunks
from infra.host.snapshots import ROOT, Snapshots, _unlink
from tests.host.cloud import Cloud, new_id, until
from tests.host.hypervisor import Hypervisor
from tests.host.test_guest import MIB, RUNNING, Built, driver, guest, hypervisor, quiet

__all__ = ["driver", "guest", "hypervisor"]


@pytest.fixture
def snapshots(cloud: Cloud, hypervisor: Hypervisor, guest: Built) -> Snapshots:
    return Snapshots(hypervisor.settings, cloud.session, guest.driver)


def wanted(guest: Built, attempt: int = 1) -> SnapshotOnHost:
    return SnapshotOnHost(instance_id=guest.spec.instance_id, attempt=attempt, image_id=new_id())


def raw_of(file: Path, tmp_path: Path) -> bytes:
    raw = tmp_path / "raw"
    subprocess.run(["qemu-img", "convert", "-f", "qcow2", "-O", "raw", str(file), str(raw)], check=True)
    return raw.read_bytes()


def test_of_a_guest_that_runs(guest: Built, snapshots: Snapshots, hypervisor: Hypervisor, tmp_path: Path) -> None:
    guest.spawn()
    until(guest.booted)
    pid, want = hypervisor.qemu(guest.spec.instance_id), wanted(guest)
    file, progress = snapshots._file(want), Progress(want.image_id)
    snapshots._copy(want, file, progress)
    assert progress.bytes == progress.of == MIB
    file.unlink()
    snapshots.take(want, quiet)
    made = file.stat().st_mtime_ns
    snapshots.take(want, quiet)
    assert file.stat().st_mtime_ns == made, "a repeat copied again"
    assert b"the guest runs" in raw_of(file, tmp_path) and len(raw_of(file, tmp_path)) == MIB
    told = subprocess.run(["qemu-img", "info", str(file)], capture_output=True, text=True, check=True).stdout
    assert "backing file" not in told
    assert guest.driver.domains() == {guest.spec.instance_id: RUNNING}
    assert hypervisor.qemu(guest.spec.instance_id) == pid
    for _ in range(2):
        snapshots.remove(want)
    assert not file.exists()


def begun(guest: Built, snapshots: Snapshots, want: SnapshotOnHost) -> Path:
    """A copy that a worker which died began; where it is, as the guest's QEMU sees it."""
    partial, paths = snapshots._file(want).with_suffix(".part"), snapshots._paths
    DiskTool(paths.owner_of(want.instance_id)).create(partial, MIB)
    guest.driver.mirrors.begin_file(want.instance_id, ROOT, paths.as_guest(partial))
    return paths.as_guest(partial)


def target(guest: Built) -> str:
    seen = guest.driver.mirrors.look(guest.spec.instance_id, ROOT)
    assert seen is not None
    return seen.target


def test_a_copy_that_an_earlier_try_left_is_given_up(guest: Built, snapshots: Snapshots, tmp_path: Path) -> None:
    guest.spawn()
    until(guest.booted)
    left, other = wanted(guest), wanted(guest)
    there = begun(guest, snapshots, left)
    assert target(guest) == str(there)
    snapshots.remove(other)
    assert target(guest), "another image's is not its own"
    snapshots.remove(left)
    assert not target(guest) and not snapshots._file(left).with_suffix(".part").exists()
    begun(guest, snapshots, left)
    snapshots.take(left, quiet)
    assert not target(guest)
    assert b"the guest runs" in raw_of(snapshots._file(left), tmp_path)


def test_a_copy_that_is_not_there_cannot_be_completed(guest: Built, snapshots: Snapshots) -> None:
    """As when the guest went down, or its host's disk was full, before it was."""
    guest.spawn()
    want = wanted(guest)
    with pytest.raises(ApplicationError, match="broken off"):
        guest.driver.mirrors.part(want.instance_id, ROOT)
    begun(guest, snapshots, want)
    until(lambda: len(set(guest.driver.mirrors.moved(want.instance_id, ROOT))) == 1)
    guest.driver.mirrors.part(want.instance_id, ROOT)
    assert guest.driver.mirrors.moved(want.instance_id, ROOT) == (0, 0)
    assert guest.driver.domains() == {want.instance_id: RUNNING}


def test_of_a_guest_that_is_off(guest: Built, snapshots: Snapshots, tmp_path: Path) -> None:
    guest.spawn()
    guest.driver.power.off(PowerOff(instance_id=guest.spec.instance_id, attempt=1, timeout_s=0), quiet)
    want = wanted(guest)
    snapshots._file(want).with_suffix(".part").write_text("of a try that died")
    snapshots.take(want, quiet)
    assert b"the guest runs" in raw_of(snapshots._file(want), tmp_path)
    progress = Progress(want.image_id)
    snapshots._copy(want, tmp_path / "again", progress)
    assert progress.bytes == progress.of == MIB


def test_the_copy_of_a_guest_that_is_off_counts_what_it_has_done(tmp_path: Path) -> None:
    """Mechanism: DiskTool._run reads what qemu-img says while it works."""
    disk, image, progress = tmp_path / "disk", tmp_path / "image", Counted("image")
    image.write_bytes(os.urandom(64 * MIB))
    argv = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", str(image), str(disk), "96M"]
    subprocess.run(argv, check=True)
    DiskTool(Owner(0)).flatten(disk, (image, "raw"), tmp_path / "flat", progress)
    assert progress.of == progress.bytes == 96 * MIB
    assert progress.seen == sorted(progress.seen) and any(0 < seen < 96 * MIB for seen in progress.seen)


MANY = """
import sys, threading
done = threading.Event()
threads = [threading.Thread(target=lambda: (bytes(100_000), done.wait())) for _ in range(64)]
for thread in threads:
    thread.start()
done.set()
"""


def test_qemu_img_has_room_for_all_its_threads() -> None:
    """It begins up to 64 where a disk is slow, and failed where their stacks and arenas went beyond its memory."""
    command = Owner(0).command("qemu-img", "convert")
    bounded = command[: command.index("--") + 1]
    subprocess.run([*bounded, sys.executable, "-c", MANY], check=True)


class Counted(Progress):
    """Remembers what it was."""

    def __setattr__(self, name: str, value: object) -> None:
        super().__setattr__(name, value)
        if name == "bytes":
            self.__dict__.setdefault("seen", []).append(value)

    @property
    def seen(self) -> list[int]:
        return list(self.__dict__["seen"])


def test_a_copy_that_is_removed_is_not_held_open(tmp_path: Path) -> None:
    file = tmp_path / "copy"
    file.write_bytes(bytes(MIB))
    for _ in range(2):
        _unlink(file)
        assert not file.exists()
    until(lambda: not [fd for fd in Path("/proc/self/fd").iterdir() if str(file) in _target(fd)])


def _target(fd: Path) -> str:
    try:
        return str(fd.readlink())
    except OSError:
        return ""


def test_an_upload_counts_what_it_sent(tmp_path: Path) -> None:
    file, progress = tmp_path / "file", Progress("image")
    file.write_bytes(bytes(5 * MIB // 2))
    seen = [progress.details()[0] | {"sent": len(chunk)} for chunk in _chunks(file, progress)]
    assert [(one["bytes"], one["of"]) for one in seen] == [(n * MIB, 5 * MIB // 2) for n in range(3)]
    assert progress.bytes == progress.of


def test_not_without_the_claim(guest: Built, snapshots: Snapshots) -> None:
    guest.spawn()
    with pytest.raises(ApplicationError) as failure:
        snapshots.take(wanted(guest, attempt=2), quiet)
    assert failure.value.type == HOST_CANNOT
