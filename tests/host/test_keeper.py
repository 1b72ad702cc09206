"""A real guest set aside and brought back: what it had written is there again, and what came between is gone."""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError

from activities.aside import Kept
from infra.contracts.aside import Aside
from infra.contracts.image import ImageOnHost
from infra.contracts.power import PowerOff
from infra.host.files import copying
from infra.host.files.download import Progress
from infra.host.files.kept import KeptFiles
from infra.host.files.paths import HostPaths
from infra.host.keeper import Keeper
from infra.host.libvirt.virt_type import boot_sector
from infra.settings import Settings
from tests.host.cloud import new_id, until
from tests.host.glance import Glance, StoredImage
from tests.host.hypervisor import Hypervisor
from tests.host.steps import run
from tests.host.test_guest import MIB, RUNNING, SHUTDOWN, Built, driver, guest, hypervisor, quiet

__all__ = ["driver", "guest", "hypervisor"]


@pytest.fixture
def keeper(hypervisor: Hypervisor, guest: Built) -> Keeper:
    return Keeper(hypervisor.settings, guest.driver)


def aside(guest: Built, disk: str, *, runs: bool = True, request_id: str = "req-1") -> Aside:
    return Aside.model_validate(
        {
            "instance_id": guest.spec.instance_id,
            "attempt": 1,
            "label": "rebuild" if disk == "moved" else "resize",
            "request_id": request_id,
            "disk": disk,
            "runs": runs,
        }
    )


def qemu_io(guest: Built, command: str) -> bool:
    disk = str(guest.driver._paths.disk(guest.spec.instance_id))
    done = subprocess.run(["qemu-io", "-f", "qcow2", "-c", command, disk], capture_output=True, text=True, check=False)
    assert done.returncode == 0 or "Pattern verification failed" in done.stdout, done.stderr
    return done.returncode == 0


def written(guest: Built) -> bool:
    return qemu_io(guest, "read -P 0x5a 512k 64k")


@pytest.fixture
def off(guest: Built) -> Built:
    """The guest, off, with something on its disk."""
    guest.spawn()
    until(guest.booted)
    guest.driver.power.off(PowerOff(instance_id=guest.spec.instance_id, attempt=1, timeout_s=0), quiet)
    qemu_io(guest, "write -P 0x5a 512k 64k")
    return guest


def test_another_image_and_back(off: Built, keeper: Keeper, glance: Glance) -> None:
    want, image_id = aside(off, "moved"), new_id()
    for _ in range(2):
        keeper.set_aside(want, quiet)
    glance.images[image_id] = StoredImage(boot_sector(b"another system\r\n").ljust(MIB, b"\0"), "raw")
    off.store.fetch(ImageOnHost(instance_id=off.spec.instance_id, image_id=image_id, disk_gb=0), quiet)
    off.spawn()
    until(lambda: "another system" in off.log)
    keeper.set_aside(want, quiet)
    assert off.driver.domains() == {off.spec.instance_id: RUNNING}, "a repeat set the new guest aside"
    for _ in range(2):
        keeper.bring_back(want, quiet)
    assert off.driver.domains() == {off.spec.instance_id: RUNNING}
    off.driver.power.off(PowerOff(instance_id=off.spec.instance_id, attempt=1, timeout_s=0), quiet)
    assert written(off)


def test_a_copy_goes_on_alone_once_the_other_is_forgotten(off: Built, keeper: Keeper) -> None:
    want = aside(off, "copied", runs=False)
    keeper.set_aside(want, quiet)
    assert written(off)
    qemu_io(off, "write -P 0x33 512k 64k")
    run(Kept(keeper).forget_aside, want)
    keeper.bring_back(want, quiet)
    assert off.driver.domains() == {off.spec.instance_id: SHUTDOWN}
    assert not written(off) and not list(off.driver._paths.instance(off.spec.instance_id).glob("*resize*"))


def test_what_an_earlier_request_left_is_not_brought_back(off: Built, keeper: Keeper) -> None:
    keeper.set_aside(aside(off, "copied", runs=False), quiet)
    qemu_io(off, "write -P 0x33 512k 64k")
    keeper.bring_back(aside(off, "copied", runs=False, request_id="req-2"), quiet)
    assert not written(off)
    keeper.set_aside(aside(off, "copied", runs=False, request_id="req-2"), quiet)
    qemu_io(off, "write -P 0x5a 512k 64k")
    keeper.bring_back(aside(off, "copied", runs=False, request_id="req-2"), quiet)
    assert not written(off) and qemu_io(off, "read -P 0x33 512k 64k")


@pytest.mark.parametrize("label", ["rebuild", "rescue"])
def test_a_rebuilt_guest_has_new_firmware_variables_and_a_failed_one_its_old(tmp_path: Path, label: Any) -> None:
    paths = HostPaths(Settings(state_dir=tmp_path, host="h"))
    want = Aside(instance_id=new_id(), attempt=1, label=label, request_id="req-1", disk="left", runs=False)
    files, nvram = KeptFiles(paths), paths.nvram(want.instance_id)
    paths.make_instance(want.instance_id)
    nvram.with_name(f"nvram.fd.{label}").write_text("old")  # a try that died had moved it
    files.keep(want, "<domain/>", Progress(""))
    assert nvram.exists() == (label == "rescue")
    nvram.write_text("of another system")
    for _ in range(2):
        files.give_back(want)
    assert nvram.read_text() == "old"


@pytest.mark.parametrize(("label", "stays"), [("resize", True), ("rebuild", False)])
def test_volumes_that_came_or_went_while_a_resize_waited_stay_so(tmp_path: Path, label: Any, stays: bool) -> None:
    paths = HostPaths(Settings(state_dir=tmp_path, host="h"))
    want = Aside(instance_id=new_id(), attempt=1, label=label, request_id="req-1", disk="left", runs=False)
    files, volumes = KeptFiles(paths), paths.make_instance(want.instance_id) / "volumes.json"
    volumes.write_text("as it was")
    files.keep(want, "<domain/>", Progress(""))
    volumes.write_text("swapped since")
    for _ in range(2):
        files.give_back(want)
    files.forget(want)
    assert (volumes.read_text() == "swapped since") == stays
    assert list(volumes.parent.glob(f"*{label}*")) == []


class Seen(Progress):
    """Every count of bytes that it was given."""

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name == "bytes":
            self.__dict__.setdefault("counts", []).append(value)


def test_a_copy_tells_how_far_it_is_and_ends_when_nobody_wants_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = HostPaths(Settings(state_dir=tmp_path, host="h"))
    want = Aside(instance_id=new_id(), attempt=1, label="resize", request_id="req-1", disk="copied", runs=False)
    paths.make_instance(want.instance_id)
    disk, swap = paths.disk(want.instance_id), paths.instance(want.instance_id) / "disk.swap"
    disk.write_bytes(os.urandom(48 * MIB))
    swap.write_bytes(os.urandom(16 * MIB))
    with monkeypatch.context() as unwanted:
        unwanted.setattr(copying, "still_wanted", lambda: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            KeptFiles(paths).keep(want, "<domain/>", Seen(""))
        assert not KeptFiles(paths).holds(want)
    progress = Seen("")
    KeptFiles(paths).keep(want, "<domain/>", progress)
    counts: list[int] = vars(progress)["counts"]
    assert counts == sorted(counts) and counts[-1] == progress.of >= 64 * MIB and len(set(counts)) > 1
    assert disk.with_name("disk.resize").read_bytes() == disk.read_bytes()
    assert swap.with_name("disk.swap.resize").read_bytes() == swap.read_bytes()
    with pytest.raises(ApplicationError, match="the disk could not be copied"):
        list(copying.copying(["cp", str(tmp_path / "absent"), str(tmp_path / "x")], tmp_path / "x"))
