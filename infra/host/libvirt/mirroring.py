"""A running guest's disk is copied to another place, and goes on there, or where it is. Source: libvirt's
virDomainBlockCopy.

With synchronous writes a copy that is ready stays complete: what the guest writes is on both before it is told so."""

import queue
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, SubElement, fromstring, tostring

import libvirt

from infra.contracts.errors import host_cannot
from infra.host.libvirt.connection import Connection
from infra.host.libvirt.faults import is_missing, is_no_job, is_wrong_state
from infra.host.libvirt.looks import find, tolerating

BEGIN_S = 60.0
SAYS_S = 10.0
"""Within this libvirt tells how a copy that has ended did so."""
WHOLE = (libvirt.VIR_DOMAIN_BLOCK_JOB_COMPLETED, libvirt.VIR_DOMAIN_BLOCK_JOB_CANCELED)
BROKEN_OFF = "the copy of the guest's disk was broken off"
HOW = (
    libvirt.VIR_DOMAIN_BLOCK_COPY_REUSE_EXT
    | libvirt.VIR_DOMAIN_BLOCK_COPY_TRANSIENT_JOB  # a definition that is kept forbids any other
    | libvirt.VIR_DOMAIN_BLOCK_COPY_SYNCHRONOUS_WRITES
)


@dataclass(frozen=True)
class Mirrored:
    """The export by which a disk is reached ("": a file), and that, or the file, to which it is copied ("": none).
    `ready`: both have the same bytes."""

    source: str
    target: str = ""
    ready: bool = False


class Mirrors:
    """All methods raise LibvirtDown, or libvirtError for what libvirt refuses."""

    def __init__(self, connection: Connection) -> None:
        self._libvirt = connection

    def look(self, instance_id: str, device: str) -> Mirrored | None:
        """None when the guest does not run, or has no such disk."""

        def work(connection: Any) -> Mirrored | None:
            domain = find(connection, instance_id)
            if domain is None or not domain.isActive():
                return None
            with tolerating(is_missing):
                return _seen(fromstring(domain.XMLDesc(0)), device)  # noqa: S314 - libvirt wrote it
            return None

        return self._libvirt.call(work)

    def moved(self, instance_id: str, device: str) -> tuple[int, int]:
        """Bytes that were copied, of how many: all of them as soon as the copy is ready. (0, 0) when none runs."""

        def work(connection: Any) -> tuple[int, int]:
            domain = find(connection, instance_id)
            with tolerating(is_missing, is_wrong_state):
                job = domain.blockJobInfo(device, 0) if domain is not None else {}
                return int(job.get("cur", 0)), int(job.get("end", 0))
            return 0, 0

        return self._libvirt.call(work)

    def begin(self, instance_id: str, device: str, xml: str) -> None:
        """Begin to copy the disk to the one that `xml` describes, which is as large at least. The guest sees as much
        of that as the disk has, until it is told that its disk has grown (`growing.grow`)."""

        def work(connection: Any) -> None:
            domain = find(connection, instance_id)
            domain.blockCopy(device, _sliced(xml, domain.blockInfo(device)[0]), {}, HOW)

        self._libvirt.call(work, BEGIN_S)

    def begin_file(self, instance_id: str, device: str, target: Path) -> None:
        """Begin to copy the disk to `target`, an empty qcow2 of its size."""
        disk = Element("disk", type="file")
        SubElement(disk, "source", file=str(target))
        SubElement(disk, "driver", type="qcow2")
        xml = tostring(disk, encoding="unicode")
        self._libvirt.call(lambda c: find(c, instance_id).blockCopy(device, xml, {}, HOW), BEGIN_S)

    def size(self, instance_id: str, device: str) -> int:
        """Bytes of the disk as the guest sees it."""
        return self._libvirt.call(lambda c: int(find(c, instance_id).blockInfo(device)[0]))

    def part(self, instance_id: str, device: str) -> None:
        """The guest goes on where it is, and a copy that is ready stays as the disk is at this moment. Raises
        HostCannot when there is none, or what was on its way to it could not be written."""
        self._libvirt.call(lambda c: _part(c, instance_id, device), BEGIN_S)

    def pivot(self, instance_id: str, device: str) -> None:
        """The guest goes on with the copy, which is ready."""
        flag = libvirt.VIR_DOMAIN_BLOCK_JOB_ABORT_PIVOT
        self._libvirt.call(lambda c: find(c, instance_id).blockJobAbort(device, flag), BEGIN_S)

    def give_up(self, instance_id: str, device: str) -> None:
        """The guest goes on where it is. No copy is fine."""

        def work(connection: Any) -> None:
            with tolerating(is_missing, is_no_job):
                find(connection, instance_id).blockJobAbort(device, 0)

        self._libvirt.call(work, BEGIN_S)


def _part(connection: Any, instance_id: str, device: str) -> None:
    domain, said = find(connection, instance_id), queue.SimpleQueue[int]()
    if domain is None:
        raise host_cannot(BROKEN_OFF)

    def ended(_connection: Any, _domain: Any, disk: str, _kind: int, status: int, _opaque: Any) -> None:
        if disk == device:
            said.put(status)

    hears = connection.domainEventRegisterAny(domain, libvirt.VIR_DOMAIN_EVENT_ID_BLOCK_JOB_2, ended, None)
    try:
        with tolerating(is_missing, is_no_job):
            domain.blockJobAbort(device, 0)
            if said.get(timeout=SAYS_S) in WHOLE:
                return
    except queue.Empty:
        pass
    finally:
        connection.domainEventDeregisterAny(hears)
    raise host_cannot(BROKEN_OFF)


def _sliced(xml: str, size: int) -> str:
    """The disk's first `size` bytes: QEMU copies to a disk of the same size only."""
    disk = fromstring(xml)  # noqa: S314 - we wrote it
    source = disk.find("source")
    assert source is not None
    SubElement(SubElement(source, "slices"), "slice", type="storage", offset="0", size=str(size))
    return tostring(disk, encoding="unicode")


def _seen(domain: Element, device: str) -> Mirrored | None:
    for disk in domain.iterfind("./devices/disk"):
        target, source, copy = disk.find("target"), disk.find("source"), disk.find("mirror")
        if target is None or source is None or target.get("dev") != device:
            continue
        if copy is None:
            return Mirrored(source.get("name", ""))
        onto = copy.find("source")
        place = "" if onto is None else onto.get("name", onto.get("file", ""))
        return Mirrored(source.get("name", ""), place, copy.get("ready") == "yes")
    return None
