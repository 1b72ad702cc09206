"""A real guest gets another flavor and its old one again, and the machine that image and flavor ask for."""

import json
import re
import subprocess
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement, fromstring, tostring

import libvirt
import pytest
from temporalio.exceptions import ApplicationError

from activities.shape import Shape
from infra.contracts.aside import Aside
from infra.contracts.hypervisor import FlavorFacts
from infra.contracts.machine import PROPERTIES
from infra.contracts.power import PowerOn, Reboot
from infra.contracts.resize import ShapeOnHost
from infra.host.files import firmware
from infra.host.keeper import Keeper
from infra.host.shapes import Shapes, shape_of
from tests.host.cloud import until
from tests.host.hypervisor import Hypervisor
from tests.host.steps import run
from tests.host.test_guest import RUNNING, Built, driver, guest, hypervisor, quiet
from tests.host.test_machines import DRIVE, ROOT, domain, flavor, seen

__all__ = ["driver", "guest", "hypervisor"]
OLD = FlavorFacts(id="1", name="m1.nano", vcpus=1, ram=64)
NEW = FlavorFacts(id="2", name="m1.micro", vcpus=2, ram=96, disk=1)


def disk_of(guest: Built) -> int:
    """Bytes, as a guest sees them."""
    disk = str(guest.driver._paths.disk(guest.spec.instance_id))
    told = subprocess.run(["qemu-img", "info", "-U", "--output=json", disk], capture_output=True, text=True, check=True)
    return int(json.loads(told.stdout)["virtual-size"])


def test_another_flavor_and_back(guest: Built, hypervisor: Hypervisor) -> None:
    id, shape = guest.spec.instance_id, Shape(Shapes(hypervisor.settings, guest.driver))
    keeper = Keeper(hypervisor.settings, guest.driver)
    old, new = (ShapeOnHost(instance_id=id, attempt=1, flavor=flavor) for flavor in (OLD, NEW))
    kept = Aside(instance_id=id, attempt=1, label="resize", request_id="req-1", disk="copied", runs=True)
    guest.spawn()
    until(guest.booted)
    before = disk_of(guest)
    assert run(shape.check_shape, old).power_state == RUNNING
    keeper.set_aside(kept, quiet)
    for _ in range(2):
        run(shape.reshape, new)
    guest.driver.power.on(PowerOn(instance_id=id, attempt=1), quiet)
    assert run(shape.check_shape, new).power_state == RUNNING and disk_of(guest) == 1 << 30
    live = guest.driver._domains.live_xml(id)
    assert live and shape_of(fromstring(live)) == ("m1.micro", 2, 96)
    with pytest.raises(ApplicationError, match="does not have this flavor"):
        run(shape.check_shape, old)
    keeper.bring_back(kept, quiet)
    assert run(shape.check_shape, old).power_state == RUNNING and disk_of(guest) == before


EVERYTHING: list[tuple[dict[str, str], dict[str, str]]] = [
    (
        {"hw_video_model": "cirrus", "hw_pointer_model": "usbtablet", "hw_boot_menu": "false", "os_type": "windows",
         "hw_machine_type": "pc-i440fx-7.2", "hw_watchdog_action": "none", "hw_disk_bus": "ide"},
        {"hw:cpu_sockets": "1", "hw:cpu_threads": "2", "quota:disk_total_iops_sec": "500", "hw_rng:allowed": "false"},
    ),
    (
        {"hw_video_model": "bochs", "hw_input_bus": "virtio", "hw_disk_bus": "scsi", "hw_cdrom_bus": "scsi"},
        {"hw_rng:rate_bytes": "1000", "quota:disk_read_bytes_sec": "100000000", "hw:watchdog_action": "reset",
         "quota:cpu_shares": "2048"},
    ),
    ({"hw_video_model": "virtio", "hw_disk_bus": "sata", "hw_cdrom_bus": "sata"}, {}),
]  # fmt: skip


@pytest.mark.parametrize(("properties", "specs"), EVERYTHING)
def test_a_real_guest_boots_with_it(
    guest: Built, hypervisor: Hypervisor, properties: dict[str, str], specs: dict[str, str]
) -> None:
    guest.spec.image_properties, guest.spec.flavor = properties, flavor(4, **specs)
    guest.spawn()
    until(guest.booted)
    live = fromstring(guest.driver._domains.live_xml(guest.spec.instance_id) or "")
    wanted = domain(properties, guest.spec.flavor)
    for path in ("cpu/topology", "devices/watchdog", "devices/rng/rate", f"{ROOT}/target", f"{DRIVE}/target"):
        assert (
            seen(live, path) == seen(wanted, path)
            or (seen(wanted, path) or {}).items() <= (seen(live, path) or {}).items()
        )
    if "quota:cpu_shares" in specs and "cpu-limits" in guest.driver.inventory()["facts"]["abilities"]:
        groups = Path(f"/proc/{hypervisor.qemu(guest.spec.instance_id)}/cgroup").read_text().splitlines()
        assert any("cpu" in line and line.endswith(guest.spec.instance_id) for line in groups), groups
    assert live.findtext(f"{ROOT}/iotune/*") == wanted.findtext(f"{ROOT}/iotune/*")


UEFI = {"hw_firmware_type": "uefi", "hw_machine_type": "q35", "hw_pointer_model": "usbtablet", "hw_disk_bus": "sata"}


@pytest.mark.skipif(not firmware.is_there(), reason="this host has no ovmf, and tells so: it gets no such guest")
def test_uefi_on_a_q35_starts_and_remembers(guest: Built, hypervisor: Hypervisor) -> None:
    """The boot sector is for a BIOS: what the console shows is the firmware, which looks for something to boot."""
    id, spec = guest.spec.instance_id, guest.spec
    spec.image_properties = UEFI
    spec.flavor = FlavorFacts(id="1", name="f", vcpus=1, ram=256, extra_specs={"hw:watchdog_action": "reset"})
    nvram, held = guest.driver._paths.nvram(id), {"instance_id": id, "attempt": 1}
    assert "uefi" in guest.driver.inventory()["facts"]["abilities"]
    guest.spawn()
    until(lambda: "BdsDxe" in guest.log, 90)
    live = fromstring(guest.driver._domains.live_xml(id) or "")
    assert "q35" in (seen(live, "os/type") or {})["machine"] and live.findtext("os/nvram", "").endswith("/nvram.fd")
    assert (seen(live, f"{ROOT}/target"), seen(live, f"{DRIVE}/target")) == (
        {"dev": "vda", "bus": "sata"},
        {"dev": "sdb", "bus": "sata"},
    )
    told, mine = nvram.read_bytes(), nvram.stat()
    assert told != firmware.VARIABLES.read_bytes(), "the firmware has written its variables"
    assert (mine.st_uid, mine.st_mode & 0o777) == (Path(f"/proc/{hypervisor.qemu(id)}").stat().st_uid, 0o600)
    keeper = Keeper(hypervisor.settings, guest.driver)
    kept = Aside(**held, label="rescue", request_id="req-1", disk="left", runs=False)
    keeper.set_aside(kept, quiet)
    told = nvram.read_bytes()
    nvram.write_bytes(firmware.VARIABLES.read_bytes())  # as another system may have left it
    keeper.bring_back(kept, quiet)
    assert nvram.read_bytes() == told and nvram.stat().st_uid == mine.st_uid
    guest.driver.power.reboot(Reboot(**held, soft=False, request_id="req-2", spec=spec), quiet)
    until(lambda: guest.log.count("BdsDxe: No bootable") + guest.log.count("BdsDxe: failed") > 1, 90)
    guest.driver.destroy(id)
    assert not nvram.exists()


def test_qemu_has_the_network_cards(hypervisor: Hypervisor) -> None:
    """Without a bridge: the cards alone, in one machine."""
    bare = Element("domain", type="qemu")
    for tag, text in (("name", "cards"), ("memory", "65536"), ("vcpu", "1")):
        SubElement(bare, tag).text = text
    SubElement(SubElement(bare, "os"), "type", arch="x86_64", machine="pc").text = "hvm"
    devices = SubElement(bare, "devices")
    for model in re.findall(r"\w+", PROPERTIES["hw_vif_model"].good):
        SubElement(SubElement(devices, "interface", type="user"), "model", type=model)
    connection = libvirt.open(hypervisor.settings.libvirt_uri)
    made = connection.createXML(tostring(bare, encoding="unicode"), libvirt.VIR_DOMAIN_START_PAUSED)
    assert made.isActive()
    made.destroy()
    connection.close()
