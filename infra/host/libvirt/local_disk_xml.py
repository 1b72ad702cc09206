"""Ephemeral and swap disks in a domain. Source: libvirt.org/formatdomain.html."""

from collections.abc import Iterable
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement

from infra.contracts.local_disks import LETTERS, LocalDisk
from infra.host.files.local_disks import OWN
from infra.host.libvirt.machine_xml import ROOT

LAST_SLOTS = 0x1A
"""PCI slots behind those that libvirt gives to volumes: guests number disks by their slots."""


def local_disk(disk: LocalDisk, file: Path, root_bus: str, *, after_volumes: bool = False) -> Element:
    """`file` as the guest's emulator sees it. `after_volumes`: the root disk is a volume, which comes later and is to
    be the guest's first disk all the same."""
    bus = disk.bus or root_bus
    made = Element("disk", type="file", device="disk")
    SubElement(made, "driver", name="qemu", type="raw", cache="writeback", discard="unmap")
    SubElement(made, "source", file=str(file))
    SubElement(made, "target", dev=disk.device, bus=bus)
    if disk.boot_index is not None and disk.boot_index > 0:
        SubElement(made, "boot", order=str(disk.boot_index + 1))
    if after_volumes and bus == "virtio":
        slot = LAST_SLOTS + min(LETTERS.index(disk.device[-1]), 5)
        SubElement(made, "address", type="pci", domain="0x0000", bus="0x00", slot=f"{slot:#04x}", function="0x0")
    return made


def local_disks_of(devices: Element) -> dict[str, Element]:
    """File name → disk, of those that are ephemeral or swap."""
    files = {disk.find("source"): disk for disk in devices.findall("disk")}
    named = {Path(source.get("file", "")).name: disk for source, disk in files.items() if source is not None}
    return {name: disk for name, disk in named.items() if OWN.fullmatch(name)}


def change_local_disks(domain: Element, disks: Iterable[LocalDisk], beside: Path) -> None:
    """Those of a server under its new flavor, in the directory of `beside`; one that stays keeps its place."""
    devices = domain.find("devices")
    assert devices is not None
    known, wanted = local_disks_of(devices), {disk.file: disk for disk in disks}
    for name in known.keys() - wanted.keys():
        devices.remove(known[name])
    targets = {target.get("dev"): target.get("bus", "virtio") for target in devices.iterfind("disk/target")}
    for name in wanted.keys() - known.keys():
        made = local_disk(wanted[name], beside.with_name(name), targets.get(ROOT, "virtio"))
        devices.insert(len(devices.findall("disk")), made)
