"""Image properties and extra specs: each in the table is obeyed in the domain, (real guests: test_shapes.py)."""

from itertools import product
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, fromstring, tostring

import pytest
from temporalio.exceptions import ApplicationError

from infra.contracts.abilities import CPU_LIMITS, LOCAL_DISKS, Q35, UEFI, VIF_LIMITS, needed
from infra.contracts.hypervisor import FlavorFacts
from infra.contracts.image import DiskOnHost
from infra.contracts.limits import Limits, Rate
from infra.contracts.local_disks import LocalDisk
from infra.contracts.machine import LIMITS, PROPERTIES, SPECS, Refused, machine_of
from infra.contracts.topology import topology
from infra.host.libvirt.domain_xml import domain_xml, interface_xml
from infra.host.libvirt.machine_xml import kept_limits
from infra.host.libvirt.rescue_xml import stable, unstable
from infra.host.network.nics import bandwidth
from infra.host.shapes import with_shape
from infra.hostnet.models import Bandwidth
from tests.host.cloud import new_id
from tests.host.specs import spec, vif
from tests.host.test_configdrive import place

ROOT, DRIVE = "devices/disk[@device='disk']", "devices/disk[@device='cdrom']"
Seen = tuple[dict[str, str], str, dict[str, str] | None]


def flavor(vcpus: int = 1, **specs: str) -> FlavorFacts:
    return FlavorFacts(id="1", name="f", vcpus=vcpus, ram=64, extra_specs=specs)


def domain(properties: dict[str, str], of: FlavorFacts | None = None, virt_type: str = "qemu") -> Element:
    made = spec(new_id(), image_properties=properties, flavor=of or flavor(), disk=DiskOnHost(), vifs=[vif()])
    return fromstring(domain_xml(made, place(virt_type=virt_type)))


def seen(made: Element, path: str) -> dict[str, str] | None:
    found = made.find(path)
    return None if found is None else dict(found.attrib)


OBEYED: list[Seen] = [
    *(({"hw_disk_bus": bus}, f"{ROOT}/target", {"dev": "vda", "bus": bus}) for bus in ("scsi", "sata", "ide")),
    ({"hw_disk_bus": "scsi"}, "devices/controller[@type='scsi']", {
        "type": "scsi", "index": "0", "model": "virtio-scsi"}),
    ({"hw_disk_bus": "scsi", "hw_scsi_model": "lsilogic"}, "devices/controller[@model='lsilogic']", {
        "type": "scsi", "index": "0", "model": "lsilogic"}),
    ({"hw_disk_bus": "ide"}, f"{DRIVE}/target", {"dev": "hdb", "bus": "ide"}),
    ({"hw_cdrom_bus": "sata"}, f"{DRIVE}/target", {"dev": "sda", "bus": "sata"}),
    *(({"hw_vif_model": model}, "devices/interface/model", {"type": model}) for model in ("e1000", "rtl8139")),
    ({"hw_vif_model": "e1000"}, "devices/interface/driver", None),
    ({"hw_machine_type": "pc-i440fx-7.2"}, "os/type", {"arch": "x86_64", "machine": "pc-i440fx-7.2"}),
    ({"hw_machine_type": "q35"}, "os/type", {"arch": "x86_64", "machine": "q35"}),
    ({"hw_machine_type": "q35"}, f"{DRIVE}/target", {"dev": "sda", "bus": "sata"}),
    ({"hw_machine_type": "q35"}, "devices/controller[@type='pci']", {
        "type": "pci", "index": "1", "model": "pcie-root-port"}),
    ({"hw_firmware_type": "uefi"}, "os/loader", {"readonly": "yes", "type": "pflash"}),
    ({"hw_video_model": "cirrus"}, "devices/video/model", {"type": "cirrus", "vram": "16384", "heads": "1"}),
    ({"hw_video_model": "none"}, "devices/video/model", {"type": "none"}),
    ({"hw_pointer_model": "usbtablet"}, "devices/input[@type='tablet']", {"type": "tablet", "bus": "usb"}),
    ({"hw_pointer_model": "usbtablet"}, "devices/controller[@type='usb']", {"type": "usb", "model": "piix3-uhci"}),
    ({"hw_input_bus": "virtio"}, "devices/input[@type='tablet']", {"type": "tablet", "bus": "virtio"}),
    ({"hw_rng_model": "virtio"}, "devices/rng", {"model": "virtio"}),
    ({"hw_boot_menu": "True"}, "os/bootmenu", {"enable": "yes"}),
    ({"hw_boot_menu": "no"}, "os/bootmenu", {"enable": "no"}),
    ({"hw_watchdog_action": "poweroff"}, "devices/watchdog", {"model": "i6300esb", "action": "poweroff"}),
    ({"hw_watchdog_action": "disabled"}, "devices/watchdog", None),
    ({"os_type": "windows"}, "clock", {"offset": "localtime"}),
    ({"os_type": "linux"}, "clock", {"offset": "utc"}),
    ({"architecture": "x86_64", "hypervisor_type": "qemu", "vm_mode": "hvm"}, "os/type", {
        "arch": "x86_64", "machine": "pc"}),
]  # fmt: skip


@pytest.mark.parametrize(("properties", "path", "expected"), OBEYED)
def test_a_property_is_obeyed(properties: dict[str, str], path: str, expected: dict[str, str] | None) -> None:
    assert seen(domain(properties), path) == expected


SPECS_OBEYED: list[Seen] = [
    ({"hw:boot_menu": "yes"}, "os/bootmenu", {"enable": "yes"}),
    ({"hw:watchdog_action": "reset"}, "devices/watchdog", {"model": "i6300esb", "action": "reset"}),
    ({"hw:cpu_sockets": "1", "hw:cpu_threads": "2"}, "cpu/topology", {"sockets": "1", "cores": "2", "threads": "2"}),
    ({"hw:cpu_max_sockets": "2", "hw:cpu_max_threads": "1"}, "cpu/topology", {
        "sockets": "2", "cores": "2", "threads": "1"}),
    ({"hw_rng:allowed": "false"}, "devices/rng", None),
    ({"hw_rng:rate_bytes": "100", "hw_rng:rate_period": "50"}, "devices/rng/rate", {"bytes": "100", "period": "50"}),
]  # fmt: skip


@pytest.mark.parametrize(("specs", "path", "expected"), SPECS_OBEYED)
def test_an_extra_spec_is_obeyed(specs: dict[str, str], path: str, expected: dict[str, str] | None) -> None:
    assert seen(domain({}, flavor(4, **specs)), path) == expected != seen(domain({}, flavor(4)), path)


def test_limits_of_disks_and_video_memory() -> None:
    for name, limit in LIMITS.items():
        assert domain({}, flavor(**{name: "1234"})).findtext(f"{ROOT}/iotune/{limit}") == "1234"
    swap = LocalDisk(kind="swap", size_mb=1, device="vdb")
    made = spec(new_id(), flavor=flavor(**{"quota:disk_read_iops_sec": "5"}), disk=DiskOnHost(), local_disks=[swap])
    tunes = fromstring(domain_xml(made, place())).findall(f"{ROOT}/iotune/read_iops_sec")
    assert [tune.text for tune in tunes] == ["5", "5"]
    assert domain({}).find(f"{ROOT}/iotune") is None
    big = domain({"hw_video_ram": "64"}, flavor(**{"hw_video:ram_max_mb": "64"}))
    assert seen(big, "devices/video/model") == {"type": "vga", "vram": "65536", "heads": "1"}
    kvm = domain({"os_type": "windows"}, virt_type="kvm")
    assert [each.tag for each in kvm.findall("features/hyperv/*")] == ["relaxed", "vapic", "spinlocks"]
    assert kvm.find("cpu") is not None and domain({}, virt_type="kvm").find("features/hyperv") is None


@pytest.mark.parametrize(("name", "rule"), [*PROPERTIES.items(), *SPECS.items()])
def test_a_value_that_nobody_knows_is_refused(name: str, rule: Any) -> None:
    if rule.good == ".*" or rule.known == ".*":
        return
    image, specs = ({}, {name: "?!"}) if ":" in name else ({name: "?!"}, {})
    with pytest.raises(Refused, match="is invalid"):
        machine_of(image, specs, 1)


@pytest.mark.parametrize(
    ("image", "specs", "words"),
    [
        ({"hw_architecture": "aarch64"}, {}, "No valid host was found. No host supports the image property hw_arch"),
        ({"hw_machine_type": "microvm"}, {}, "hw_machine_type=microvm"),
        ({"hw_machine_type": "q35", "hw_cdrom_bus": "ide"}, {}, "hw_cdrom_bus=ide"),
        ({"hw_machine_type": "pc-q35-7.2", "hw_disk_bus": "ide"}, {}, "hw_disk_bus=ide"),
        ({"hw_video_model": "qxl"}, {}, "hw_video_model=qxl"),
        ({"hw_tpm_version": "2.0"}, {}, "hw_tpm_version=2.0"),
        ({"hw_vif_multiqueue_enabled": "true"}, {}, "hw_vif_multiqueue_enabled=true"),
        ({"hw_numa_nodes": "2"}, {}, "hw_numa_nodes=2"),
        ({"os_secure_boot": "required"}, {}, "os_secure_boot=required"),
        ({"hypervisor_type": "xen"}, {}, "img_hv_type=xen"),
        ({"hw_video_ram": "8"}, {}, "video memory 8 is higher than the maximum allowed by flavor 0"),
        ({"hw_cpu_max_sockets": "1", "hw_cpu_max_cores": "1", "hw_cpu_max_threads": "1"}, {}, "1:1:1 are impossible"),
        ({}, {"hw:cpu_policy": "dedicated"}, "extra spec hw:cpu_policy=dedicated"),
        ({}, {"hw:mem_page_size": "large"}, "hw:mem_page_size=large"),
        ({}, {"hw:numa_nodes": "1"}, "hw:numa_nodes=1"),
        ({}, {"quota:cpu_shares": "1"}, "extra spec 'quota:cpu_shares': it is not between 2 and 262144"),
        ({}, {"quota:cpu_period": "-1"}, "'quota:cpu_period': it is not between"),
        ({}, {"quota:vif_inbound_peak": "10"}, "'quota:vif_inbound_average': a peak or a burst needs it"),
        ({}, {"quota:vif_outbound_average": "10", "quota:vif_outbound_peak": "9"}, "peak': it is below the average"),
        ({}, {"quota:memory_limit": "10"}, "quota:memory_limit=10"),
        ({}, {"quota:disk_io_limit": "10"}, "quota:disk_io_limit=10"),
        ({}, {"quota:disk_total_bytes_sec": "1", "quota:disk_read_bytes_sec": "1"}, "quota:disk_total_bytes_sec"),
        ({}, {"trait:HW_CPU_X86_AVX2": "required"}, "trait:HW_CPU_X86_AVX2=required"),
        ({}, {"resources:VGPU": "1"}, "resources:VGPU=1"),
        ({}, {"trait1:X": "required"}, "trait1:X=required"),
        ({}, {"pci_passthrough:alias": "gpu:1"}, "pci_passthrough:alias=gpu:1"),
    ],
)
def test_what_no_host_can_is_refused(image: dict[str, str], specs: dict[str, str], words: str) -> None:
    with pytest.raises(Refused) as refused:
        machine_of(image, specs, 2)
    assert words in str(refused.value)


def test_what_the_host_limits_is_kept_with_the_domain() -> None:
    """libvirt is not asked for it: see `_keep_limits`."""
    asked = {"quota:cpu_quota": "50000", "quota:vif_inbound_average": "100", "quota:vif_inbound_burst": "20"}
    made = domain({}, flavor(2, **asked))
    assert kept_limits(tostring(made, encoding="unicode")) == Limits(
        cpu_quota=100000, inbound=Rate(average=100, burst=20)
    )
    limits = bandwidth(kept_limits(tostring(made, encoding="unicode")))
    assert limits == Bandwidth(ingress_kbps=800, ingress_burst_kbits=163)
    other = with_shape(made, flavor(2, **{"quota:vif_outbound_average": "1", "quota:vif_outbound_peak": "2"}))
    assert bandwidth(kept_limits(other)) == Bandwidth(egress_kbps=8, egress_peak_kbps=16)
    free = with_shape(fromstring(other), flavor(2, **{"quota:cpu_quota": "-1", "quota:vif_outbound_average": "0"}))
    assert "limits>" not in free and bandwidth(kept_limits(free)) is None
    assert kept_limits("<domain/>") == Limits()


def test_what_not_every_host_can_is_asked_of_it() -> None:
    image = {"hw_firmware_type": "uefi", "hw_machine_type": "pc-q35-7.2"}
    assert needed(image, {"swap": 0, "ephemeral": 0}, local_disks=False) == {UEFI, Q35}
    assert needed({"hw_firmware_type": "bios"}, {"ephemeral": 1}, local_disks=False) == {LOCAL_DISKS}
    assert needed({}, {}, local_disks=True) == {LOCAL_DISKS}
    limits = {"quota:cpu_shares": "10", "quota:vif_inbound_average": "1", "quota:disk_read_iops_sec": "1"}
    assert needed({}, {"extra_specs": limits}, local_disks=False) == {CPU_LIMITS, VIF_LIMITS}


def test_what_asks_for_nothing_is_taken() -> None:
    image = {"hw_vif_multiqueue_enabled": "false", "os_distro": "debian", "hw_of_my_own": "x", "img_signature": "abc"}
    specs = {"hw:locked_memory": "false", "mine": "x", "vendor:mine": "x", "trait:CUSTOM_X": "forbidden"}
    assert machine_of(image, specs, 2) == machine_of({}, {}, 2)
    with pytest.raises(ApplicationError, match="hw_machine_type=microvm"):
        domain({"hw_machine_type": "microvm"})  # an older server's: hopeless, not tried again


def test_every_topology_gives_the_vcpus() -> None:
    for vcpus, sockets, cores, threads in product((1, 2, 3, 6, 8), *[(None, 1, 2, 3)] * 3):
        found = topology(vcpus, [sockets, cores, threads], [None] * 3)
        assert found.sockets * found.cores * found.threads == vcpus
        if vcpus == (sockets or 0) * (cores or 0) * (threads or 0):
            assert found == (sockets, cores, threads)


def test_another_flavor_changes_what_follows_from_it() -> None:
    made = domain({"hw_cpu_sockets": "1"}, flavor(4, **{"quota:disk_read_iops_sec": "5", "hw_rng:allowed": "no"}))
    assert seen(made, "cpu/topology") == {"sockets": "1", "cores": "4", "threads": "1"} and made.find(".//rng") is None
    changed = fromstring(with_shape(made, flavor(2, **{"quota:disk_write_iops_sec": "7"})))
    assert seen(changed, "cpu/topology") == {"sockets": "1", "cores": "2", "threads": "1"}
    tune = changed.find(f"{ROOT}/iotune")
    assert tune is not None and [(each.tag, each.text) for each in tune] == [("write_iops_sec", "7")]
    assert changed.find("devices/rng") is not None


def test_interfaces_that_come_later_and_rescue_disks_fit_the_machine() -> None:
    xml = tostring(domain({"hw_vif_model": "e1000", "hw_disk_bus": "scsi"}), encoding="unicode")
    assert seen(fromstring(interface_xml(vif(), "qemu", xml)), "model") == {"type": "e1000"}
    rescued = fromstring(unstable(xml, Path("/s/rescue")))
    assert [each.get("bus") for each in rescued.findall(f"{ROOT}/target")] == ["scsi", "scsi"]
    beside = fromstring(stable(xml, Path("/s/rescue"), "disk", "scsi", ()))
    assert [each.get("dev") for each in beside.findall(f"{ROOT}/target")] == ["vda", "sdb"]
