"""A running guest is told that its disk has grown. Source: libvirt's virDomainBlockResize, QEMU's block_resize."""

import json
import time
from dataclasses import dataclass
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
        if found.sliced and domain.blockInfo(found.device)[0] < size:
            _open_whole(domain, found)
        for _ in range(TRIES):
            if _has(domain, found, size):
                return
            time.sleep(PAUSE_S)
        raise LibvirtDown(f"the server of volume {disk[0]} does not show its size of {size} bytes yet")


@dataclass(frozen=True)
class _Disk:
    """Target device and bus, libvirt's alias. `sliced`: the guest may see the first part of it only (`mirroring`)."""

    device: str
    bus: str
    alias: str
    sliced: bool

    @property
    def qdev(self) -> str:
        """What QEMU calls the device that has the disk: on virtio that is a part of the one with the alias."""
        return f"/machine/peripheral/{self.alias}/virtio-backend" if self.bus == "virtio" else self.alias


def _disk_of(domain: Any, volume_id: str, device: str) -> _Disk | None:
    """The running domain's disk of this name, else with this serial."""
    if domain is None or not domain.isActive():
        return None
    for disk in ElementTree.fromstring(domain.XMLDesc(0)).iterfind("./devices/disk"):  # noqa: S314 - libvirt wrote it
        target, alias = disk.find("target"), disk.find("alias")
        if target is None or alias is None:
            continue
        if target.get("dev") == device or (not device and disk.findtext("serial") == volume_id):
            sliced = disk.find("source/slices") is not None
            return _Disk(target.get("dev", ""), target.get("bus", ""), alias.get("name", ""), sliced)
    return None


def _open_whole(domain: Any, disk: _Disk) -> None:
    """QEMU lets no disk grow that is a part of another one. Safe to repeat."""
    blocks = json.loads(libvirt_qemu.qemuMonitorCommand(domain, json.dumps({"execute": "query-block"}), 0))["return"]
    (name,) = [block["inserted"]["node-name"] for block in blocks if block.get("qdev") == disk.qdev]
    whole = {
        "driver": "raw",
        "node-name": name,
        "file": name.replace("-format", "-storage"),  # as libvirt names what lies below
        "read-only": False,
        "discard": "unmap",
        "cache": {"direct": True, "no-flush": False},
    }
    command = {"execute": "blockdev-reopen", "arguments": {"options": [whole]}}
    answer = json.loads(libvirt_qemu.qemuMonitorCommand(domain, json.dumps(command), 0))
    if "error" in answer:
        raise LibvirtDown(f"QEMU does not let disk {disk.device} grow yet: {answer['error'].get('desc')}")


def _has(domain: Any, disk: _Disk, size: int) -> bool:
    """Whether the disk has the size, now that it was asked to."""
    if domain.blockInfo(disk.device)[0] >= size:
        return True
    # QEMU learns an export's size when it connects, and connects anew with the first request that finds its
    # connection closed. A guest that leaves its disk alone makes none.
    read = f'qemu-io -d {disk.qdev} "read 0 512"'
    libvirt_qemu.qemuMonitorCommand(domain, read, libvirt_qemu.VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP)
    try:
        domain.blockResize(disk.device, size, libvirt.VIR_DOMAIN_BLOCK_RESIZE_BYTES)
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_INTERNAL_ERROR:  # QEMU's: it still knows the old size
            raise
        return False
    return True
