"""A server's domain while it boots from a rescue disk. Source: libvirt.org/formatdomain.html, Nova's rescue modes."""

import string
from collections.abc import Container, Iterator
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement, fromstring, tostring

from infra.host.libvirt.domain_xml import LAST
from infra.host.libvirt.local_disk_xml import local_disks_of

ROOT = "vda"
PREFIX = {"virtio": "vd", "scsi": "sd", "sata": "sd", "ide": "hd"}


def unstable(xml: str, disk: Path) -> str:
    """The rescue disk is the first, the server's own root disk the second. It leaves its place on the bus to the new
    one, since guests number disks by that. There are no others."""
    domain, devices = _parsed(xml)
    for local in local_disks_of(devices).values():
        devices.remove(local)
    rescue = _disk(disk, "disk", _bus(devices), ROOT)
    for own in devices.findall("disk"):
        target, address = own.find("target"), own.find("address")
        if target is None or target.get("dev") != ROOT:
            continue
        target.set("dev", next(_free(devices, ROOT[:-1], target.get("bus", "virtio"))))
        _without_order(own)
        if address is not None:
            own.remove(address)
            rescue.append(address)
    devices.insert(0, rescue)
    return tostring(domain, encoding="unicode")


def stable(xml: str, disk: Path, kind: str, bus: str, taken: Container[str]) -> str:
    """All disks keep their places; the rescue disk is one more, at the first name that is not `taken`, and the first
    to boot from. `kind`: disk or cdrom."""
    domain, devices = _parsed(xml)
    free = _free(devices, PREFIX[bus], bus)
    for own in devices.findall("disk"):
        _later(own)
    if bus == "scsi" and devices.find("controller[@type='scsi']") is None:
        SubElement(devices, "controller", type="scsi", model="virtio-scsi")
    devices.append(_disk(disk, kind, bus, next(name for name in free if name not in taken)))
    return tostring(domain, encoding="unicode")


def later(volume: str) -> str:
    """A volume's disk, to be booted from after the rescue disk."""
    disk = fromstring(volume)  # noqa: S314 - we wrote it
    _later(disk)
    return tostring(disk, encoding="unicode")


def _parsed(xml: str) -> tuple[Element, Element]:
    domain = fromstring(xml)  # noqa: S314 - libvirt wrote it
    devices = domain.find("devices")
    assert devices is not None
    return domain, devices


def _free(devices: Element, prefix: str, bus: str) -> Iterator[str]:
    """Names with `prefix` that no disk has. libvirt places by the last letter: none of the same bus may have that."""
    targets = [(target.get("dev", ""), target.get("bus")) for target in devices.iterfind("disk/target")]
    names = {name for name, _ in targets} | {prefix + name[-1] for name, on in targets if on == bus}
    return (prefix + letter for letter in string.ascii_lowercase if prefix + letter not in names)


def _bus(devices: Element) -> str:
    """Of the server's own root disk, whose place the rescue disk takes."""
    buses = {target.get("dev"): target.get("bus", "virtio") for target in devices.iterfind("disk/target")}
    return buses.get(ROOT, "virtio")


def _disk(file: Path, kind: str, bus: str, name: str) -> Element:
    disk = Element("disk", type="file", device=kind)
    SubElement(disk, "driver", name="qemu", type="qcow2", cache="writeback", discard="unmap")
    SubElement(disk, "source", file=str(file))
    SubElement(disk, "target", dev=name, bus=bus)
    if kind == "cdrom":
        SubElement(disk, "readonly")
    SubElement(disk, "boot", order="1")
    return disk


def _without_order(disk: Element) -> None:
    for boot in disk.findall("boot"):
        disk.remove(boot)


def _later(disk: Element) -> None:
    for boot in disk.findall("boot"):
        if boot.get("order") != LAST:
            boot.set("order", str(int(boot.get("order", "1")) + 1))
