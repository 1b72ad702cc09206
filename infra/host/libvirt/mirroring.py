"""A running guest's disk is copied to another place, and goes on there. Source: libvirt's virDomainBlockCopy.

With synchronous writes a copy that is ready stays complete: what the guest writes is on both before it is told so."""

from dataclasses import dataclass
from typing import Any
from xml.etree.ElementTree import Element, SubElement, fromstring, tostring

import libvirt

from infra.host.libvirt.connection import Connection
from infra.host.libvirt.faults import is_missing, is_wrong_state
from infra.host.libvirt.looks import find, tolerating

BEGIN_S = 60.0
HOW = (
    libvirt.VIR_DOMAIN_BLOCK_COPY_REUSE_EXT
    | libvirt.VIR_DOMAIN_BLOCK_COPY_TRANSIENT_JOB  # a definition that is kept forbids any other
    | libvirt.VIR_DOMAIN_BLOCK_COPY_SYNCHRONOUS_WRITES
)


@dataclass(frozen=True)
class Mirrored:
    """Exports by which a disk is reached, and to which it is copied ("": none). `ready`: both have the same bytes."""

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
        """Bytes that were copied, of how many; (0, 0) when no copy runs."""

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

    def pivot(self, instance_id: str, device: str) -> None:
        """The guest goes on with the copy, which is ready."""
        flag = libvirt.VIR_DOMAIN_BLOCK_JOB_ABORT_PIVOT
        self._libvirt.call(lambda c: find(c, instance_id).blockJobAbort(device, flag), BEGIN_S)

    def give_up(self, instance_id: str, device: str) -> None:
        """The guest goes on where it is. No copy is fine."""

        def work(connection: Any) -> None:
            with tolerating(is_missing, is_wrong_state):
                find(connection, instance_id).blockJobAbort(device, 0)

        self._libvirt.call(work, BEGIN_S)


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
        return Mirrored(
            source.get("name", ""), "" if onto is None else onto.get("name", ""), copy.get("ready") == "yes"
        )
    return None
