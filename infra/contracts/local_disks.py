"""The disks that a server has on its host beside its root disk: ephemeral and swap. Sizes in MiB.

Source: Nova's flavors and block device mappings of source blank, destination local."""

from collections.abc import Iterable, Mapping
from typing import Literal

from pydantic import BaseModel

SWAP, VFAT = "swap", "vfat"
FORMATS = ("ext2", "ext3", "ext4", VFAT)
"""File systems that a host can make."""
LETTERS = "abcdefghijklmnopqrstuvwxyz"
PREFIX = {"": "vd", "virtio": "vd", "scsi": "sd", "sata": "sd", "ide": "hd"}
"""Bus → how its devices are called; "" is the root disk's, whatever that is."""


class LocalDisk(BaseModel):
    """One of them. `of_flavor`: it follows the server's flavor, whose owner asked for nothing else."""

    kind: Literal["ephemeral", "swap"]
    number: int = 0
    size_mb: int
    guest_format: str = SWAP
    device: str = ""
    bus: str = ""
    of_flavor: bool = True
    boot_index: int | None = None
    tag: str | None = None

    @property
    def follows(self) -> bool:
        """Whether a resize changes it. Source: Nova asks the new flavor alone for swap."""
        return self.of_flavor or self.kind == "swap"

    @property
    def label(self) -> str:
        """As cloud-init knows it, and as its file system is called."""
        return f"ephemeral{self.number}" if self.kind == "ephemeral" else SWAP

    @property
    def file(self) -> str:
        return f"disk.eph{self.number}" if self.kind == "ephemeral" else "disk.swap"


def default_format(properties: Mapping[str, str]) -> str:
    """Source: Nova without `default_ephemeral_format`, but for Windows' NTFS."""
    return "ext4" if properties.get("os_type") == "linux" else VFAT


def completed(asked: Iterable[LocalDisk], ephemeral_gb: int, swap_mb: int, guest_format: str) -> list[LocalDisk]:
    """Disks that were asked for, and those that a flavor gives besides; these have no names yet."""
    found = list(asked)
    if ephemeral_gb and not any(disk.kind == "ephemeral" for disk in found):
        found.append(LocalDisk(kind="ephemeral", size_mb=ephemeral_gb << 10, guest_format=guest_format))
    if swap_mb and not any(disk.kind == "swap" for disk in found):
        found.append(LocalDisk(kind="swap", size_mb=swap_mb))
    return sorted(found, key=lambda disk: (disk.kind, disk.number))


def resized(disks: Iterable[LocalDisk], ephemeral_gb: int, swap_mb: int, guest_format: str) -> list[LocalDisk]:
    """The disks of a server under another flavor: swap is the flavor's, an ephemeral disk keeps a size of its own."""
    sizes = {"ephemeral": ephemeral_gb << 10, "swap": swap_mb}
    follow = [disk.model_copy(update={"size_mb": sizes[disk.kind]}) if disk.follows else disk for disk in disks]
    return completed([disk for disk in follow if disk.size_mb], ephemeral_gb, swap_mb, guest_format)


def letters_of(devices: Iterable[str]) -> set[str]:
    """By which disks are told apart whatever their bus: libvirt places a disk on its bus by the letter."""
    return {device[-1:] for device in devices if device}


def named(disks: Iterable[LocalDisk], taken: set[str]) -> list[LocalDisk]:
    """Each at the first letter that is neither taken nor another one's. LookupError when none is left."""
    found, used = list(disks), set(taken)
    used |= letters_of(disk.device for disk in found)
    for at, disk in enumerate(found):
        if disk.device:
            continue
        letter = next((letter for letter in LETTERS if letter not in used), "")
        if not letter:
            raise LookupError(f"No free disk device names for prefix '{PREFIX[disk.bus]}'")
        used.add(letter)
        found[at] = disk.model_copy(update={"device": PREFIX[disk.bus] + letter})
    return found
