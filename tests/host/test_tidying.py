"""What an operation left that was ended from outside: real guests, real records, the host's own look."""

from pathlib import Path
from typing import Any

import pytest

from infra.contracts.aside import Aside
from infra.contracts.hypervisor import FlavorFacts
from infra.contracts.image import ImageOnHost
from infra.contracts.power import PowerOff, PowerOn
from infra.contracts.resize import ShapeOnHost
from infra.host.files.left import LeftFiles
from infra.host.keeper import Keeper
from infra.host.libvirt.virt_type import boot_sector
from infra.host.shapes import Shapes
from infra.host.tidying import Tidier
from infra.tables.compute import Instance, InstanceAction, now
from tests.host.cloud import Cloud, new_id, until
from tests.host.glance import Glance, StoredImage
from tests.host.hypervisor import Hypervisor
from tests.host.test_guest import MIB, RUNNING, SHUTDOWN, Built, driver, guest, hypervisor, quiet
from tests.host.test_keeper import qemu_io, written
from tests.host.test_rescues import RESCUED, Rescuing
from tests.host.test_shapes import NEW, OLD

__all__ = ["driver", "guest", "hypervisor"]


class Place:
    """A guest, its record, and what lies in its directory."""

    def __init__(self, cloud: Cloud, hypervisor: Hypervisor, guest: Built) -> None:
        self.cloud, self.guest, self.id = cloud, guest, guest.spec.instance_id
        self.settings, self.driver = hypervisor.settings, guest.driver
        self.keeper, self.shapes = Keeper(self.settings, self.driver), Shapes(self.settings, self.driver)
        self.tidy = Tidier(self.settings, self.driver, cloud.control)

    def record(self, vm_state: str, flavor: FlavorFacts = OLD, task_state: str | None = None) -> None:
        about = {"vm_state": vm_state, "task_state": task_state, "flavor": flavor.model_dump(mode="json")}
        with self.cloud.compute.write() as session:
            if row := session.get(Instance, self.id):
                row.sqlmodel_update(about)
            else:
                row = Instance(id=self.id, project_id="p", user_id="u", name="vm", claims=1, launched_at=now(), **about)
            session.add(row)

    def ended(self, request_id: str, message: str | None) -> None:
        about = {"instance_id": self.id, "user_id": "u", "project_id": "p", "action": "rebuild"}
        with self.cloud.compute.write() as session:
            session.add(InstanceAction(request_id=request_id, finish_time=now(), message=message, **about))

    def aside(self, label: str, disk: str, **more: Any) -> Aside:
        about = {"instance_id": self.id, "attempt": 1, "request_id": "req-1", "runs": True}
        return Aside.model_validate({**about, "label": label, "disk": disk, **more})

    def resize(self, flavor: FlavorFacts = NEW) -> None:
        self.guest.spawn()
        until(self.guest.booted)
        self.keeper.set_aside(self.aside("resize", "copied"), quiet)
        self.shapes.change(ShapeOnHost(instance_id=self.id, attempt=1, flavor=flavor), quiet)
        self.driver.power.on(PowerOn(instance_id=self.id, attempt=1), quiet)

    def shape(self, flavor: FlavorFacts) -> int:
        want = ShapeOnHost(instance_id=self.id, attempt=1, flavor=flavor)
        return self.shapes.check(want).power_state

    def off(self) -> None:
        self.driver.power.off(PowerOff(instance_id=self.id, attempt=1, timeout_s=0), quiet)

    @property
    def left(self) -> dict[str, str]:
        return self.driver.facts().left.get(self.id, {})

    @property
    def files(self) -> set[str]:
        return {file.name for file in (self.settings.host_dir / "instances" / self.id).iterdir()}


@pytest.fixture
def place(cloud: Cloud, hypervisor: Hypervisor, guest: Built) -> Place:
    return Place(cloud, hypervisor, guest)


def test_what_a_resize_kept_goes_once_nobody_waits_for_it(place: Place, hypervisor: Hypervisor) -> None:
    """Mechanism: `fate`. After an os-resetState the copy of the disk stayed until the next resize, or the delete."""
    place.resize()
    process = hypervisor.qemu(place.id)
    assert place.left == {"resize": "req-1"} and "disk.resize" in place.files
    for vm_state, task_state in (("resized", None), ("active", "resize_prep"), ("resized", "resize_reverting")):
        place.record(vm_state, NEW, task_state)
        place.tidy()
        assert place.left == {"resize": "req-1"}, (vm_state, task_state)
    place.record("error", NEW)
    place.tidy()
    assert place.left == {} and not any("resize" in name for name in place.files)
    assert hypervisor.qemu(place.id) == process and place.shape(NEW) == RUNNING


def test_what_no_record_knows_stays(place: Place) -> None:
    place.resize()
    place.tidy()
    assert place.left == {"resize": "req-1"}
    place.record("active", NEW)
    place.cloud.claim(place.id, attempt=2, host="other")
    place.tidy()
    assert place.left == {"resize": "req-1"}


def test_a_guest_of_a_resize_that_was_ended_has_its_records_flavor(place: Place) -> None:
    """Mechanism: `_make_true`. The guest had the new flavor under the old record until a hard reboot."""
    place.resize()
    place.off()
    qemu_io(place.guest, "write -P 0x5a 512k 64k")
    place.driver.power.on(PowerOn(instance_id=place.id, attempt=1), quiet)
    place.record("error")
    place.tidy()
    assert place.shape(NEW) == RUNNING and place.left, "a person decides over a server in ERROR"
    place.record("active")
    for _ in range(2):
        place.tidy()
    assert place.shape(OLD) == RUNNING and place.left == {}
    place.off()
    assert written(place.guest), "what was written meanwhile is gone"


def test_a_way_back_that_was_ended_half_way(place: Place, hypervisor: Hypervisor) -> None:
    """Mechanism: REVERTED. An os-resetState leaves the record its new flavor, and the guest has its old one by then."""
    place.resize()
    for _ in range(2):
        place.keeper.bring_back(place.aside("resize", "copied"), quiet)
    place.record("resized", NEW)
    place.tidy()
    assert place.left == {"reverted": "req-1"} and place.shape(OLD) == RUNNING
    place.record("active", NEW)
    place.tidy()
    assert place.left == {} and place.shape(NEW) == RUNNING


def test_a_way_back_that_was_gone_is_remembered_by_nobody(place: Place, hypervisor: Hypervisor) -> None:
    place.resize()
    place.keeper.bring_back(place.aside("resize", "copied"), quiet)
    process = hypervisor.qemu(place.id)
    place.record("active")
    place.tidy()
    assert place.left == {} and place.shape(OLD) == RUNNING and hypervisor.qemu(place.id) == process


def test_a_guest_that_was_off_stays_off(place: Place) -> None:
    place.resize()
    place.off()
    place.record("stopped")
    place.tidy()
    assert place.shape(OLD) == SHUTDOWN and place.left == {}


def test_a_rescue_that_was_ended_is_over(place: Place, hypervisor: Hypervisor, glance: Glance) -> None:
    rescuing = Rescuing(place.guest, hypervisor, glance)
    place.guest.spawn()
    until(place.guest.booted)
    rescuing.begin()
    until(lambda: RESCUED in place.guest.log)
    for vm_state in ("rescued", "error"):
        place.record(vm_state)
        place.tidy()
        assert place.left == {"rescue": "req-1"} and "rescue-disk" in place.files, vm_state
    starts = place.guest.log.count("the guest runs")
    place.record("active")
    place.tidy()
    until(lambda: place.guest.log.count("the guest runs") > starts)
    assert place.left == {} and not any("rescue" in name for name in place.files)


def test_the_next_rescue_keeps_the_guest_that_there_is(place: Place, hypervisor: Hypervisor, glance: Glance) -> None:
    """Mechanism: `end_rescue`. The next rescue kept nothing, and brought the guest back as it had been before the
    first."""
    rescuing = Rescuing(place.guest, hypervisor, glance)
    place.guest.spawn()
    rescuing.begin()
    place.off()
    place.driver._definer.define_again(place.guest.spec)  # as a hard reboot does
    place.shapes.change(ShapeOnHost(instance_id=place.id, attempt=1, flavor=NEW), quiet)
    rescuing.begin(request_id="req-2")
    rescuing.end()
    assert place.shape(NEW) == RUNNING


def test_the_next_rescue_of_a_guest_that_is_rescued_still(place: Place, hypervisor: Hypervisor, glance: Glance) -> None:
    rescuing = Rescuing(place.guest, hypervisor, glance)
    place.guest.spawn()
    rescuing.begin()
    rescuing.begin(request_id="req-2")
    rescuing.end()
    xml = place.driver.definitions.read(place.id)
    assert xml and "rescue-disk" not in xml


@pytest.mark.parametrize("failed", [True, False])
def test_what_a_rebuild_kept(place: Place, glance: Glance, failed: bool) -> None:
    place.guest.spawn()
    place.off()
    qemu_io(place.guest, "write -P 0x5a 512k 64k")
    place.keeper.set_aside(place.aside("rebuild", "moved"), quiet)
    image_id = new_id()
    glance.images[image_id] = StoredImage(boot_sector(b"another system\r\n").ljust(MIB, b"\0"), "raw")
    place.guest.store.fetch(ImageOnHost(instance_id=place.id, image_id=image_id, disk_gb=0), quiet)
    place.guest.spawn()
    place.record("active")
    place.tidy()
    assert place.left == {"rebuild": "req-1"}, "its action does not say how it ended"
    place.ended("req-1", "Error" if failed else None)
    place.tidy()
    assert place.left == {} and place.driver.domains() == {place.id: RUNNING}
    place.off()
    assert written(place.guest) == failed


def test_a_disk_that_a_rebuild_moved_away_is_the_only_one(place: Place) -> None:
    place.guest.spawn()
    place.off()
    directory = place.settings.host_dir / "instances" / place.id
    (directory / "disk").rename(directory / "disk.rebuild")
    place.record("stopped")
    place.tidy()
    assert place.left == {} and "disk" in place.files


def test_copies_for_images(place: Place) -> None:
    place.guest.spawn()
    directory = place.settings.host_dir / "instances" / place.id
    names = [directory / f"snapshot-{new_id()}.qcow2", directory / f"snapshot-{new_id()}.part"]
    for name in names:
        name.touch()
    place.record("active", task_state="image_uploading")
    place.tidy()
    assert len(place.left) == 2
    place.record("active")
    place.tidy()
    assert place.left == {} and "disk" in place.files


def test_a_guests_own_files_are_nobodys_leftovers(place: Place) -> None:
    place.guest.spawn()
    directory = Path(place.settings.host_dir / "instances" / place.id)
    for name in ("disk.eph0", "disk.swap", "nvram.fd", "config.outdated", "frozen", "rebooted"):
        (directory / name).touch()
    assert LeftFiles(place.driver._paths).of(place.id) == {}
