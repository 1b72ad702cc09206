"""A host's disk without a free byte, under a real guest: nothing is ended that could not begin again, each failure says
why and leaves nothing, and with room again everything goes on."""

import errno
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from temporalio.exceptions import ApplicationError

from activities.hypervisor import Hypervisor as Steps
from activities.step import declared
from infra.contracts.aside import Aside
from infra.contracts.errors import HOST_CANNOT
from infra.contracts.guarded import Guarded
from infra.contracts.image import ImageOnHost
from infra.contracts.power import PowerOff, Reboot
from infra.contracts.rescue import RescueDisk
from infra.contracts.snapshot import SnapshotOnHost
from infra.credentials import write_private
from infra.host.files.download import Progress
from infra.host.files.kept import KeptFiles
from infra.host.files.paths import HostPaths
from infra.host.keeper import Keeper
from infra.host.libvirt.virt_type import boot_sector
from infra.host.rescues import Rescues
from infra.host.snapshots import Snapshots
from tests.chaos.troubles import fill
from tests.host.cloud import Cloud, new_id, until
from tests.host.glance import Glance, StoredImage
from tests.host.hypervisor import Hypervisor
from tests.host.test_guest import MIB, PAUSED, RUNNING, SHUTDOWN, Built, driver, guest, quiet
from workers.interceptors import sorted_failure
from workers.layout import guest_uid

__all__ = ["driver", "guest"]
WORDS = "no space left on the host's disk"
WRITER = (
    bytes.fromhex(
        "31c0 8ed8"  # data segment 0
        "be407c b80043 b280 cd13"  # int 13h: write a sector of the disk as the packet at 7c40h says
        "b057 7302 b045 baf803 ee"  # W, or E after an error, to the serial port
        "8106487c8000 83164a7c00"  # the next cluster, of 128 sectors
        "b486 b90100 ba0000 cd15 ebd5"  # wait 65 ms, again
    ).ljust(64, b"\0")
    + bytes.fromhex("1000 0100 007c 0000 8000000000000000")
).ljust(510, b"\0") + b"\x55\xaa"


@pytest.fixture(scope="module")
def hypervisor(cloud: Cloud) -> Iterator[Hypervisor]:
    """All that a host writes lies on a file system of 128 MiB."""
    with tempfile.TemporaryDirectory(prefix="kf-") as state:
        mount = ["mount", "-t", "tmpfs", "-o", "size=128m", "tmpfs", state]
        if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
            pytest.skip("file systems cannot be mounted here")
        try:
            own = {"state_dir": Path(state), "host_networking": "none", "guest_uid": guest_uid(cloud.settings)}
            settings = cloud.settings.model_copy(update={**own, "shutdown_timeout_s": 2})
            settings.host_dir.mkdir(parents=True)
            running = Hypervisor(settings)
            try:
                yield running
            finally:
                running.close()
        finally:
            subprocess.run(["umount", "--lazy", state], check=True)


@pytest.fixture
def disk(hypervisor: Hypervisor, guest: Built) -> Iterator["Disk"]:
    guest.spawn()
    until(guest.booted)
    found = Disk(hypervisor, guest)
    yield found
    found.free()


class Disk:
    def __init__(self, hypervisor: Hypervisor, guest: Built) -> None:
        self.filler, self.guest, self.hypervisor = hypervisor.settings.state_dir / "filler", guest, hypervisor
        self.pid, self.files = self._pid(), self._files()

    def fill(self, but: int = 0) -> None:
        fill(self.filler)
        os.truncate(self.filler, self.filler.stat().st_size - but)

    def free(self) -> None:
        self.filler.unlink(missing_ok=True)

    def unharmed(self) -> bool:
        """The very guest runs, and no file is left of what was tried."""
        runs = self.guest.driver.domains() == {self.guest.spec.instance_id: RUNNING}
        return runs and self._pid() == self.pid and self._files() == self.files

    def _pid(self) -> int:
        return self.hypervisor.qemu(self.guest.spec.instance_id)

    def _files(self) -> set[str]:
        return {file.name for file in self.guest.driver._paths.instance(self.guest.spec.instance_id).iterdir()}


def held(guest: Built) -> dict[str, object]:
    return {"instance_id": guest.spec.instance_id, "attempt": 1}


def test_a_guest_that_finds_the_disk_full_goes_on_when_there_is_room(
    guest: Built, hypervisor: Hypervisor, glance: Glance
) -> None:
    """Mechanism: Driver.resume_waiting. It knew guests with volumes alone, and any other stayed paused for good."""
    filler = hypervisor.settings.state_dir / "filler"
    glance.images[writer := new_id()] = StoredImage(WRITER.ljust(MIB, b"\0"), "raw")
    guest.store.remove(guest.spec.instance_id)
    want = ImageOnHost(instance_id=guest.spec.instance_id, image_id=writer, disk_gb=1)
    guest.spec.disk = guest.store.fetch(want, quiet)
    guest.spawn()
    until(lambda: "WWW" in guest.log)
    fill(filler)
    until(lambda: guest.driver.domains() == {guest.spec.instance_id: PAUSED})
    guest.driver.resume_waiting()
    assert guest.driver.domains() == {guest.spec.instance_id: PAUSED}, "there is no room yet"
    filler.unlink()
    before = len(guest.log)

    def goes_on() -> bool:
        guest.driver.resume_waiting()
        return len(guest.log) > before + 3

    until(goes_on)
    assert "E" not in guest.log, "the guest saw an I/O error"


def test_memory_that_does_not_fit_is_said_at_once_and_the_guest_goes_on(guest: Built, disk: Disk) -> None:
    """Mechanism: Domains.save. It was tried seven times, and the guest stood still each time."""
    want = Guarded.model_validate(held(guest))
    disk.fill()
    with pytest.raises(OSError) as failed:
        guest.driver.power.suspend(want, quiet)
    sorted_as = sorted_failure(failed.value, declared(Steps.suspend), 1, "host")
    assert isinstance(sorted_as, ApplicationError) and (sorted_as.type, sorted_as.message) == (HOST_CANNOT, WORDS)
    until(disk.unharmed)
    disk.free()
    assert guest.driver.power.suspend(want, quiet).power_state == SHUTDOWN
    assert guest.driver.power.resume(want, quiet).power_state == RUNNING


def test_a_copy_that_does_not_fit_says_so(guest: Built, disk: Disk, cloud: Cloud, hypervisor: Hypervisor) -> None:
    """Mechanism: Snapshots._mirror looks for room when QEMU's job has ended; it said that the copy was broken off."""
    snapshots = Snapshots(hypervisor.settings, cloud.session, guest.driver)
    want = SnapshotOnHost.model_validate({**held(guest), "image_id": new_id()})
    disk.fill(but=MIB // 2)
    with pytest.raises(ApplicationError) as refused:
        snapshots.take(want, quiet)
    assert (refused.value.type, refused.value.message) == (HOST_CANNOT, WORDS)
    snapshots.remove(want)
    until(disk.unharmed)
    disk.free()
    snapshots.take(want, quiet)
    assert snapshots._file(want).exists()


@pytest.mark.parametrize("label", ["rebuild", "resize", "rescue"])
def test_no_guest_is_ended_that_could_not_begin_again(
    guest: Built, disk: Disk, hypervisor: Hypervisor, label: str
) -> None:
    """Mechanism: PowerOff.comes_back. Without room libvirt starts nothing: what failed left its guest off."""
    keeper = Keeper(hypervisor.settings, guest.driver)
    ways = {"rebuild": "moved", "resize": "copied", "rescue": "left"}
    aside = {"label": label, "disk": ways[label], "request_id": "req-1", "runs": True}
    want = Aside.model_validate({**held(guest), **aside})
    disk.fill()
    with pytest.raises(ApplicationError, match=WORDS):
        keeper.set_aside(want, quiet)
    keeper.bring_back(want, quiet)
    assert disk.unharmed()
    disk.free()
    keeper.set_aside(want, quiet)
    keeper.bring_back(want, quiet)
    assert guest.driver.domains() == {guest.spec.instance_id: RUNNING}


@pytest.mark.parametrize("disk_goes", ["moved", "copied", "left"])
def test_what_could_not_be_kept_leaves_nothing(
    guest: Built, disk: Disk, hypervisor: Hypervisor, disk_goes: str
) -> None:
    """Mechanism: KeptFiles.keep. What was kept so far was counted as a leak until the host's next look at it."""
    kept = KeptFiles(HostPaths(hypervisor.settings))
    aside = {"label": "resize", "disk": disk_goes, "request_id": "req-1", "runs": True}
    disk.fill(but=MIB // 8)
    with pytest.raises((OSError, ApplicationError)):
        kept.keep(Aside.model_validate({**held(guest), **aside}), "<domain/>", Progress(""))
    assert disk.unharmed()


def test_neither_a_reboot_nor_a_shelve_ends_it(guest: Built, disk: Disk) -> None:
    reboot = Reboot.model_validate({**held(guest), "soft": False, "request_id": "req-1"})
    shelve = PowerOff.model_validate({**held(guest), "timeout_s": 0, "comes_back": True})
    disk.fill()
    with pytest.raises(ApplicationError, match=WORDS):
        guest.driver.power.reboot(reboot, quiet)
    assert disk.unharmed()
    with pytest.raises(ApplicationError, match=WORDS):
        guest.driver.power.off(shelve, quiet)
    assert disk.unharmed()
    guest.driver.power.off(shelve.model_copy(update={"comes_back": False}), quiet)  # a stop
    assert guest.driver.domains() == {guest.spec.instance_id: SHUTDOWN}


def test_a_rescue_begins_nothing(guest: Built, disk: Disk, hypervisor: Hypervisor, glance: Glance) -> None:
    glance.images[other := new_id()] = StoredImage(boot_sector(b"rescue\r\n").ljust(MIB, b"\0"), "raw")
    rescues = Rescues(hypervisor.settings, guest.driver, guest.store)
    want = RescueDisk.model_validate({**held(guest), "image_id": other, "request_id": "req-1"})
    disk.fill()
    with pytest.raises(ApplicationError, match=WORDS):
        rescues.fetch(want, quiet)
    rescues.remove(want)
    assert disk.unharmed()
    disk.free()
    rescues.fetch(want, quiet)
    rescues.remove(want)
    assert disk.unharmed()


def test_a_private_file_that_does_not_fit_leaves_the_former_one_alone(tmp_path: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(tmp_path)], check=True)
    try:
        write_private(tmp_path / "known", "before")
        with pytest.raises(OSError) as full:
            write_private(tmp_path / "known", "x" * 2 * MIB)
        assert full.value.errno == errno.ENOSPC
        assert [file.name for file in tmp_path.iterdir()] == ["known"]
        assert (tmp_path / "known").read_text() == "before"
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)
