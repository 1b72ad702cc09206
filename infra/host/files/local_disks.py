"""Ephemeral and swap disks: sparse raw files beside a guest's root disk, formatted once, when they are made."""

import os
import re
import subprocess
from pathlib import Path

from infra.contracts.errors import host_cannot
from infra.contracts.local_disks import SWAP, VFAT, LocalDisk
from infra.host.files.owner import Owner, opened
from infra.host.files.paths import HostPaths
from infra.host.files.room import room_on_disk

OWN = re.compile(r"disk\.(eph[0-9]+|swap)")
"""Their files' names. With anything behind it, it is a file that is not finished, or kept for an operation."""
MIB = 1 << 20
FORMAT_S = 600


class LocalDisks:
    """Each method may be repeated. The guest is off, or was never on."""

    def __init__(self, paths: HostPaths) -> None:
        self._paths = paths

    def ensure(self, instance_id: str, disks: list[LocalDisk]) -> None:
        """Make those that are not there; others keep what the guest wrote. HostCannot when there is no room."""
        directory = self._paths.make_instance(instance_id)
        for disk in disks:
            if not (directory / disk.file).exists():
                self._make(directory / disk.file, disk, self._paths.owner_of(instance_id))

    def change(self, instance_id: str, disks: list[LocalDisk]) -> None:
        """As `ensure`, but the sizes count: an ephemeral disk grows, swap of another size is made anew, and what is not
        among `disks` goes."""
        directory = self._paths.make_instance(instance_id)
        wanted = {disk.file: disk for disk in disks}
        for file in self.own(instance_id):
            disk, size = wanted.get(file.name), file.stat().st_size
            if disk is None or (disk.kind == "swap" and size != disk.size_mb * MIB):
                file.unlink()
            elif size < disk.size_mb * MIB:
                os.truncate(file, disk.size_mb * MIB)
        self.ensure(directory.name, disks)

    def own(self, instance_id: str) -> list[Path]:
        directory = self._paths.instance(instance_id)
        return sorted(file for file in directory.glob("disk.*") if OWN.fullmatch(file.name))

    def remove(self, instance_id: str) -> None:
        """All of them, with what is kept of them or half made."""
        for file in self._paths.instance(instance_id).glob("disk.*"):
            if OWN.match(file.name):
                file.unlink(missing_ok=True)

    def _make(self, file: Path, disk: LocalDisk, owner: Owner) -> None:
        partial = file.with_name(f"{file.name}.part")
        flags = os.O_CREAT | os.O_RDWR | os.O_TRUNC | os.O_NOFOLLOW
        with room_on_disk(partial), os.fdopen(os.open(partial, flags, 0o600), "r+b") as out:
            owner.writes(partial)
            out.truncate(disk.size_mb * MIB)
            (name,) = opened(out.fileno())
            done = subprocess.run(
                owner.command(*_format(disk, name)),
                pass_fds=[out.fileno()],
                capture_output=True,
                text=True,
                timeout=FORMAT_S,
            )
            if done.returncode:
                partial.unlink(missing_ok=True)
                raise host_cannot(f"the {disk.label} disk could not be formatted: {done.stderr.strip()[-200:]}")
            partial.replace(file)


def _format(disk: LocalDisk, name: str) -> list[str]:
    if disk.guest_format == SWAP:
        return ["/usr/sbin/mkswap", name]
    if disk.guest_format == VFAT:
        return ["/usr/sbin/mkfs.vfat", "-n", disk.label, name]
    return ["/usr/sbin/mke2fs", "-q", "-F", "-t", disk.guest_format, "-L", disk.label, name]
