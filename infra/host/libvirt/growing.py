"""A running guest is told that its disk has grown. Source: libvirt's virDomainBlockResize, QEMU's block_resize."""

import time
from typing import Any
from xml.etree import ElementTree

import libvirt
import libvirt_qemu

from infra.host.libvirt.faults import LibvirtDown, is_missing, is_wrong_state
from infra.host.libvirt.looks import tolerating

TRIES, PAUSE_S = 40, 0.25


def grow(domain: Any, disk: tuple[str, str], size: int) -> None:
    """Give the disk (its volume, its device) that many bytes. Without a device it is the one with that serial. A domain
    that is absent, off, or has no such disk is left alone, as is a disk that is as large already. LibvirtDown when the
    volume's server does not show the size within `TRIES` looks."""
    with tolerating(is_wrong_state, is_missing):
        found = _disk_of(domain, *disk)
        if found is None:
            return
        for _ in range(TRIES):
            if _has(domain, *found, size):
                return
            time.sleep(PAUSE_S)
        raise LibvirtDown(f"the server of volume {disk[0]} does not show its size of {size} bytes yet")


def _disk_of(domain: Any, volume_id: str, device: str) -> tuple[str, str] | None:
    """(target device, libvirt's alias) of the running domain's disk of this name, else with this serial."""
    if domain is None or not domain.isActive():
        return None
    for disk in ElementTree.fromstring(domain.XMLDesc(0)).iterfind("./devices/disk"):  # noqa: S314 - libvirt wrote it
        target, alias = disk.find("target"), disk.find("alias")
        if target is None or alias is None:
            continue
        if target.get("dev") == device or (not device and disk.findtext("serial") == volume_id):
            return target.get("dev", ""), alias.get("name", "")
    return None


def _has(domain: Any, device: str, alias: str, size: int) -> bool:
    """Whether the disk has the size, now that it was asked to."""
    if domain.blockInfo(device)[0] >= size:
        return True
    # QEMU learns an export's size when it connects, and connects anew with the first request that finds its
    # connection closed. A guest that leaves its disk alone makes none.
    read = f'qemu-io -d /machine/peripheral/{alias}/virtio-backend "read 0 512"'
    libvirt_qemu.qemuMonitorCommand(domain, read, libvirt_qemu.VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP)
    try:
        domain.blockResize(device, size, libvirt.VIR_DOMAIN_BLOCK_RESIZE_BYTES)
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_INTERNAL_ERROR:  # QEMU's: it still knows the old size
            raise
        return False
    return True
