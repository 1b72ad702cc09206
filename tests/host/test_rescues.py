"""A real guest boots from a rescue disk with its own beside it, and from its own again; where the disks go."""

from pathlib import Path
from xml.etree.ElementTree import fromstring

import pytest
from temporalio.exceptions import ApplicationError

from infra.contracts.aside import Aside
from infra.contracts.hypervisor import GuestConfig
from infra.contracts.rescue import RescueDisk, RescueGuest
from infra.contracts.volume import DiskOnGuest
from infra.host.keeper import Keeper
from infra.host.libvirt.rescue_xml import later, stable, unstable
from infra.host.libvirt.virt_type import boot_sector
from infra.host.rescues import Rescues
from tests.host.cloud import new_id, until
from tests.host.glance import Glance, StoredImage
from tests.host.hypervisor import Hypervisor
from tests.host.test_guest import MIB, RUNNING, Built, driver, guest, hypervisor, quiet
from tests.host.test_waiting import Writing, writing

__all__ = ["driver", "guest", "hypervisor", "writing"]
RESCUED = "the rescue runs"
DOMAIN = """<domain><devices>
<disk type='file' device='disk'><source file='/own'/><target dev='vda' bus='virtio'/><boot order='1'/>
<address type='pci' slot='0x04'/></disk>
<disk type='file' device='cdrom'><source file='/config'/><target dev='hda' bus='ide'/><boot order='99'/></disk>
</devices></domain>"""


def disks(xml: str) -> list[tuple[str, str, str]]:
    """(device, file, boot order) of each disk, in the order in which a firmware tries them."""
    found = []
    for disk in fromstring(xml).iterfind("./devices/disk"):
        target, source, boot = disk.find("target"), disk.find("source"), disk.find("boot")
        assert target is not None and source is not None
        order = boot.get("order", "") if boot is not None else ""
        found.append((target.get("dev", ""), Path(source.get("file", "")).name, order))
    return sorted(found, key=lambda disk: int(disk[2] or 100))


def test_the_own_disk_is_the_second_and_leaves_its_place() -> None:
    xml = unstable(DOMAIN, Path("/rescue"))
    assert disks(xml) == [("vda", "rescue", "1"), ("hda", "config", "99"), ("vdb", "own", "")]
    first = fromstring(xml).find("./devices/disk")
    assert first is not None and first.find("address") is not None
    without = DOMAIN.replace("<address type='pci' slot='0x04'/>", "")
    assert disks(unstable(without, Path("/rescue")))[0] == ("vda", "rescue", "1")


def test_a_disk_on_another_bus_has_its_place_from_its_letter() -> None:
    """Mechanism: _free; with the config drive at the second place of the bus, libvirt refused the domain."""
    on_scsi = DOMAIN.replace("dev='vda' bus='virtio'", "dev='vda' bus='scsi'")
    on_scsi = on_scsi.replace("dev='hda' bus='ide'", "dev='sdb' bus='scsi'")
    xml = unstable(on_scsi, Path("/rescue"))
    assert disks(xml) == [("vda", "rescue", "1"), ("sdb", "config", "99"), ("vdc", "own", "")]
    assert fromstring(xml).find("./devices/disk/target[@bus='scsi']") is not None
    added = fromstring(stable(on_scsi, Path("/rescue"), "disk", "scsi", [])).findall("./devices/disk/target")[-1]
    assert added.get("dev") == "sdc"


@pytest.mark.parametrize(
    ("kind", "bus", "name"), [("disk", "virtio", "vdc"), ("cdrom", "ide", "hdb"), ("disk", "scsi", "sda")]
)
def test_with_a_stable_device_all_disks_keep_their_places(kind: str, bus: str, name: str) -> None:
    xml = stable(DOMAIN, Path("/rescue"), kind, bus, ["vdb"])
    assert disks(xml) == [(name, "rescue", "1"), ("vda", "own", "2"), ("hda", "config", "99")]
    added = fromstring(xml).findall("./devices/disk")[-1]
    assert (added.get("device"), added.find("readonly") is not None) == (kind, kind == "cdrom")
    assert (fromstring(xml).find("./devices/controller[@model='virtio-scsi']") is not None) == (bus == "scsi")
    volume = later("<disk><target dev='vda'/><boot order='1'/></disk>")
    assert 'order="2"' in volume and later("<disk/>") == "<disk />"


class Rescuing:
    """A guest, the image that rescues it, and the steps in their order."""

    def __init__(self, guest: Built, hypervisor: Hypervisor, glance: Glance) -> None:
        self.guest, self.id, self.image = guest, guest.spec.instance_id, new_id()
        glance.images[self.image] = StoredImage(boot_sector(RESCUED.encode() + b"\r\n").ljust(MIB, b"\0"), "raw")
        self.rescues = Rescues(hypervisor.settings, guest.driver, guest.store)
        self.keeper = Keeper(hypervisor.settings, guest.driver)
        self.kept = Aside(instance_id=self.id, attempt=1, label="rescue", request_id=self.id, disk="left", runs=True)

    def disk(self, request_id: str) -> RescueDisk:
        return RescueDisk(instance_id=self.id, attempt=1, image_id=self.image, request_id=request_id)

    def begin(self, device: str = "", request_id: str = "req-1") -> None:
        config = GuestConfig(hostname="web-1", admin_pass="s3cret-rescue")
        spec = self.guest.spec.model_copy(update={"guest": config})
        self.rescues.fetch(self.disk(request_id), quiet)
        self.keeper.set_aside(self.kept, quiet)
        for _ in range(2):
            want = RescueGuest.model_validate(
                {"instance_id": self.id, "attempt": 1, "spec": spec.model_dump(), "device": device}
            )
            assert self.rescues.boot(want, quiet).power_state == RUNNING

    def end(self) -> None:
        self.keeper.bring_back(self.kept, quiet)
        for _ in range(2):
            self.rescues.remove(self.disk(""))


@pytest.mark.parametrize(("device", "own", "rescue"), [("", "vdb", "vda"), ("disk", "vda", "vdb")])
def test_rescued_and_back(
    guest: Built, hypervisor: Hypervisor, glance: Glance, device: str, own: str, rescue: str
) -> None:
    rescuing, paths = Rescuing(guest, hypervisor, glance), guest.driver._paths
    guest.spawn()
    until(guest.booted)
    drive = paths.config_drive(rescuing.id)
    before, inode = drive.read_bytes(), paths.disk(rescuing.id).stat().st_ino
    rescuing.begin(device)
    until(lambda: RESCUED in guest.log)
    live = guest.driver._domains.live_xml(rescuing.id)
    assert live and {dev: file for dev, file, _ in disks(live)} == {
        own: "disk", rescue: "rescue-disk", "hda": "config.iso"
    }  # fmt: skip
    assert b"s3cret-rescue" in drive.read_bytes()
    starts = guest.log.count("the guest runs")
    rescuing.end()
    until(lambda: guest.log.count("the guest runs") > starts)
    live = guest.driver._domains.live_xml(rescuing.id)
    assert live and disks(live) == [("vda", "disk", "1"), ("hda", "config.iso", "99")]
    assert (drive.read_bytes(), paths.disk(rescuing.id).stat().st_ino) == (before, inode)
    left = {file.name for file in paths.instance(rescuing.id).iterdir()}
    assert not {name for name in left if "rescue" in name}


def test_a_volume_that_is_taken_away_meanwhile_is_not_there_afterwards(
    writing: Writing, hypervisor: Hypervisor, glance: Glance
) -> None:
    """Mechanism: DiskPlugger._has_other_names. The rescue calls the guest's own disk as the volume was called, and an
    unplug took that; what was set aside had the volume still."""
    rescuing, driver = Rescuing(writing.guest, hypervisor, glance), writing.guest.driver
    rescuing.begin()
    until(lambda: RESCUED in writing.guest.log)
    assert driver._domains.has_disk(rescuing.id, "vdb")
    with writing.cloud.user("admin") as admin:
        admin.call("volume", "DELETE", f"/v3/attachments/{writing.attachment_id}")
    out = DiskOnGuest.model_validate({**writing.held, "volume": writing.guest.spec.volumes[0]})
    for _ in range(2):
        driver.disks.unplug(out, quiet)
    assert driver._domains.has_disk(rescuing.id, "vdb"), "its own"
    rescuing.end()
    assert writing.is_(RUNNING) and not driver._domains.has_disk(rescuing.id, "vdb")


def made(file: Path) -> tuple[int, int]:
    """The number of a file that is gone may be a new one's."""
    return file.stat().st_ino, file.stat().st_mtime_ns


def test_another_rescue_begins_from_its_image(guest: Built, hypervisor: Hypervisor, glance: Glance) -> None:
    """What an earlier one could not remove is not booted once more."""
    rescuing, file = Rescuing(guest, hypervisor, glance), guest.driver._paths.rescue_disk(guest.spec.instance_id)
    for request_id, again in (("req-1", False), ("req-1", True), ("req-2", False)):
        was = made(file) if file.exists() else None
        rescuing.rescues.fetch(rescuing.disk(request_id), quiet)
        assert (made(file) == was) == again
    want = RescueGuest(instance_id=rescuing.id, attempt=1, spec=guest.spec)
    with pytest.raises(ApplicationError, match="nothing is set aside"):
        rescuing.rescues.boot(want, quiet)
    rescuing.rescues.remove(rescuing.disk(""))
