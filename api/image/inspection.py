"""Looks into uploaded data: its format must be the one it claims, and it must not lead a hypervisor to other files."""

import re
import struct
from dataclasses import dataclass
from pathlib import Path

from api.common.errors import ServiceError

HEAD = 64 * 1024
QCOW2_DATA_FILE, QCOW2_KNOWN = 0b100, 0b11111
VMDK_SELF_CONTAINED = ("monolithicSparse", "streamOptimized")
PLAIN = ("raw", "ami", "ari", "aki")
UNSTRUCTURED = ("raw", "gpt", "iso", "luks")
"""Contents that a hypervisor which is told `raw` reads as what they are."""


@dataclass(frozen=True)
class Content:
    """The parts of a file that tell its format: its first 64 KiB, its last 512 bytes, its size."""

    head: bytes
    tail: bytes
    size: int

    def number(self, layout: str, offset: int) -> int:
        try:
            return int(struct.unpack_from(layout, self.head, offset)[0])
        except struct.error as error:
            raise unsafe("its header is not whole") from error


def virtual_size(path: Path, disk_format: str | None, container_format: str | None) -> int | None:
    """Size in bytes of the disk that a guest would see, None where the format does not tell it.

    Raises 415 when the content is not of `disk_format`, or names other files (qcow2 backing and data files, vmdk
    extents). Content inside a container other than `bare` is not looked at. Source: the formats' own descriptions;
    the rule follows Glance 2024.2 and CVE-2024-32498."""
    if container_format != "bare":
        return None
    with path.open("rb") as file:
        size = path.stat().st_size
        head = file.read(HEAD)
        file.seek(max(0, size - 512))
        content = Content(head, file.read(512), size)
    found = detect(content)
    if not (found in UNSTRUCTURED if disk_format in PLAIN else found == disk_format):
        raise ServiceError(
            415, f"Image content is not of the declared disk_format {disk_format}: it looks like {found}."
        )
    match found:
        case "qcow2":
            return _qcow2(content)
        case "vmdk":
            return _vmdk(content)
        case "vdi":
            return content.number("<Q", 0x170)
        case "vhd":
            return int.from_bytes(content.tail[48:56], "big") or None
        case "vhdx" | "ploop":
            return None
    return size


def detect(content: Content) -> str:
    """Name of the format, by its signature; `raw` for anything else."""
    head, tail = content.head, content.tail
    signatures = (
        ("qcow2", head[:4] == b"QFI\xfb" and head[4:8] in (b"\0\0\0\2", b"\0\0\0\3")),
        ("qcow", head[:4] == b"QFI\xfb"),
        ("qed", head[:4] == b"QED\0"),
        ("vmdk", head[:4] in (b"KDMV", b"COWD") or head[:512].lstrip().startswith(b"# Disk DescriptorFile")),
        ("vdi", head[0x40:0x44] == b"\x7f\x10\xda\xbe"),
        ("vhdx", head[:8] == b"vhdxfile"),
        ("vhd", head[:8] == b"conectix" or tail[:8] == b"conectix"),
        ("ploop", head[:16] in (b"WithoutFreeSpace", b"WithouFreSpacExt")),
        ("luks", head[:6] == b"LUKS\xba\xbe"),
        ("iso", head[0x8001:0x8006] == b"CD001"),
        ("gpt", head[510:512] == b"\x55\xaa"),
    )
    return next((name for name, matches in signatures if matches), "raw")


def unsafe(reason: str) -> ServiceError:
    return ServiceError(415, f"Image content is not accepted: {reason}.")


def _qcow2(content: Content) -> int:
    version = content.number(">I", 4)
    if content.number(">Q", 8):
        raise unsafe("a qcow2 image with a backing file")
    if version >= 3:
        features = content.number(">Q", 72)
        if features & QCOW2_DATA_FILE:
            raise unsafe("a qcow2 image with an external data file")
        if features & ~QCOW2_KNOWN:
            raise unsafe("a qcow2 image with unknown incompatible features")
    return content.number(">Q", 24)


def _vmdk(content: Content) -> int:
    """Only sparse images that lie in one file; their descriptor is inside."""
    if content.head[:4] != b"KDMV":
        raise unsafe("a vmdk image that consists of several files")
    start, length = content.number("<Q", 28) * 512, content.number("<Q", 36) * 512
    descriptor = content.head[start : start + min(length, HEAD)]
    kind = re.search(rb'^createType="([^"]*)"', descriptor, re.MULTILINE)
    if not kind or kind[1].decode("ascii", "replace") not in VMDK_SELF_CONTAINED:
        raise unsafe(f"a vmdk image must be one of {', '.join(VMDK_SELF_CONTAINED)}")
    extents = re.findall(rb"^\s*(?:RW|RDONLY|NOACCESS)\s+\d+\s+(\w+)", descriptor, re.MULTILINE)
    if extents != [b"SPARSE"]:
        raise unsafe("a vmdk image with extents in other files")
    return content.number("<Q", 12) * 512
