"""Ephemeral and swap disks: made, kept, changed and removed on a host, and what a real guest is given of them."""

import subprocess
from pathlib import Path
from xml.etree.ElementTree import fromstring

import pytest
from temporalio.exceptions import ApplicationError

from infra.contracts.aside import Aside
from infra.contracts.hypervisor import FlavorFacts
from infra.contracts.image import DiskOnHost
from infra.contracts.local_disks import LocalDisk
from infra.contracts.power import PowerOff, Reboot
from infra.contracts.resize import ShapeOnHost
from infra.host.files.local_disks import LocalDisks
from infra.host.keeper import Keeper
from infra.host.libvirt.domain_xml import domain_xml
from infra.host.libvirt.rescue_xml import unstable
from infra.host.shapes import Shapes
from tests.host.cloud import new_id, until
from tests.host.hypervisor import Hypervisor
from tests.host.specs import spec
from tests.host.test_configdrive import place
from tests.host.test_guest import MIB, Built, driver, guest, hypervisor, quiet

__all__ = ["driver", "guest", "hypervisor"]
EPHEMERAL = LocalDisk(kind="ephemeral", size_mb=16, guest_format="ext4", device="vdb")
SWAP = LocalDisk(kind="swap", size_mb=8, device="vdc")
GREETING = b"kept by the guest"


def told(file: Path) -> tuple[str, str, int]:
    """(type, label, bytes) of what lies on a disk."""
    done = subprocess.run(
        ["/usr/sbin/blkid", "-p", "-o", "export", str(file)], capture_output=True, text=True, check=True
    )
    known = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
    return known["TYPE"], known.get("LABEL", ""), file.stat().st_size


def write(file: Path) -> None:
    with file.open("r+b") as out:
        out.seek(4 * MIB)
        out.write(GREETING)


def written(file: Path) -> bool:
    return file.read_bytes()[4 * MIB :].startswith(GREETING)


def test_each_is_formatted_once(guest: Built) -> None:
    id, paths = guest.spec.instance_id, guest.driver._paths
    disks, directory = LocalDisks(paths), paths.instance(id)
    formats = ("ext4", "ext3", "ext2", "vfat")
    wanted = [EPHEMERAL.model_copy(update={"number": n, "guest_format": f}) for n, f in enumerate(formats)]
    disks.ensure(id, [*wanted, SWAP])
    for number, name in enumerate(formats):
        file = directory / f"disk.eph{number}"
        assert told(file) == (name, f"ephemeral{number}", 16 * MIB) and file.stat().st_blocks * 512 < 8 * MIB
    assert told(directory / "disk.swap") == ("swap", "", 8 * MIB)
    write(directory / "disk.eph0")
    disks.ensure(id, [*wanted, SWAP])
    assert written(directory / "disk.eph0")
    with pytest.raises(ApplicationError, match="could not be formatted"):
        disks.ensure(id, [EPHEMERAL.model_copy(update={"number": 7, "size_mb": 0})])
    (directory / "disk.eph0.resize").touch()
    disks.remove(id)
    assert sorted(file.name for file in directory.glob("disk*")) == ["disk"]


def sources(xml: str | None) -> dict[str, str]:
    """Device → name of the file behind it."""
    disks = fromstring(xml or "").findall("devices/disk")
    return {d.find("target").get("dev", ""): Path(d.find("source").get("file", "")).name for d in disks}  # type: ignore[union-attr]


def test_a_real_guest_has_them_through_reboot_and_resize(guest: Built, hypervisor: Hypervisor) -> None:
    """Mechanism: Definer.ensure, Shapes.change, KeptFiles: what the guest wrote outlives a hard reboot, grows with the
    flavor, comes back with the old one."""
    id, run = guest.spec.instance_id, guest.driver
    directory = run._paths.instance(id)
    guest.spec.local_disks = [EPHEMERAL, SWAP]
    guest.spawn()
    until(guest.booted)
    before = {"vda": "disk", "vdb": "disk.eph0", "vdc": "disk.swap", "hda": "config.iso"}
    assert sources(run._domains.live_xml(id)) == before
    run.power.off(PowerOff(instance_id=id, attempt=1, timeout_s=0), quiet)
    write(directory / "disk.eph0")
    run.power.reboot(Reboot(instance_id=id, attempt=1, request_id="req-r", soft=False, spec=guest.spec), quiet)
    assert written(directory / "disk.eph0") and sources(run._domains.live_xml(id)) == before
    keeper, shapes = Keeper(hypervisor.settings, run), Shapes(hypervisor.settings, run)
    kept = Aside(instance_id=id, attempt=1, label="resize", request_id="req-1", disk="copied", runs=True)
    keeper.set_aside(kept, quiet)
    large = [EPHEMERAL.model_copy(update={"size_mb": 32}), EPHEMERAL.model_copy(update={"number": 1, "device": "vdd"})]
    flavor = FlavorFacts(id="2", name="m1.micro", vcpus=1, ram=64)
    for _ in range(2):
        shapes.change(ShapeOnHost(instance_id=id, attempt=1, flavor=flavor, local_disks=large), quiet)
    run.power.on(Reboot(instance_id=id, attempt=1, request_id="", soft=False), quiet)
    after = {"vda": "disk", "vdb": "disk.eph0", "vdd": "disk.eph1", "hda": "config.iso"}
    assert sources(run._domains.live_xml(id)) == after
    assert written(directory / "disk.eph0") and (directory / "disk.eph0").stat().st_size == 32 * MIB
    for _ in range(2):
        keeper.bring_back(kept, quiet)
    assert sources(run._domains.live_xml(id)) == before
    assert written(directory / "disk.eph0") and told(directory / "disk.eph0")[2] == 16 * MIB
    assert sorted(file.name for file in directory.glob("disk*")) == ["disk", "disk.eph0", "disk.swap"]
    run.destroy(id)
    assert sorted(file.name for file in directory.glob("disk*")) == ["disk"]


def test_a_rebuild_begins_with_empty_disks_and_brings_the_old_ones_back(guest: Built, hypervisor: Hypervisor) -> None:
    id, keeper = guest.spec.instance_id, Keeper(hypervisor.settings, guest.driver)
    file = guest.driver._paths.instance(id) / "disk.eph0"
    guest.spec.local_disks = [EPHEMERAL]
    guest.spawn()
    guest.driver.power.off(PowerOff(instance_id=id, attempt=1, timeout_s=0), quiet)
    write(file)
    kept = Aside(instance_id=id, attempt=1, label="rebuild", request_id="req-1", disk="moved", runs=False)
    keeper.set_aside(kept, quiet)
    LocalDisks(guest.driver._paths).ensure(id, [EPHEMERAL])
    assert not written(file)
    keeper.bring_back(kept, quiet)
    assert written(file)


def test_in_the_domain() -> None:
    """Each on its own bus; behind a root disk that is a volume; none beside an unstable rescue."""
    disks = [EPHEMERAL.model_copy(update={"bus": "sata"}), SWAP.model_copy(update={"bus": "scsi", "boot_index": 1})]
    made = spec(new_id(), disk=DiskOnHost(), local_disks=disks, image_properties={"hw_cdrom_bus": "sata"})
    found = fromstring(domain_xml(made, place())).findall("devices/disk/target")
    assert [(t.get("dev"), t.get("bus")) for t in found] == [
        ("vda", "virtio"), ("vdb", "sata"), ("vdc", "scsi"), ("sda", "sata"),
    ]  # fmt: skip
    assert fromstring(domain_xml(made, place())).find("devices/controller[@type='scsi']") is not None
    assert [b.get("order") for b in fromstring(domain_xml(made, place())).findall("devices/disk/boot")] == [
        "1",
        "2",
        "99",
    ]
    from_volume = spec(new_id(), local_disks=[EPHEMERAL, SWAP])
    slots = fromstring(domain_xml(from_volume, place())).findall("devices/disk/address")
    assert [slot.get("slot") for slot in slots] == ["0x1b", "0x1c"]
    rescued = sources(unstable(domain_xml(spec(new_id(), disk=DiskOnHost(), local_disks=disks), place()), Path("/r")))
    assert set(rescued.values()) == {"r", "disk", "config.iso"}
