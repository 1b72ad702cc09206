"""Room on the host's disk: what a full one means for a step, and whether a guest could be started on it."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from infra.contracts.errors import disk_full, is_full

TO_START = 16 << 20
"""Bytes that must be free before a guest is ended that is to run again: hypervisor and QEMU write files of their own at
each start."""


@contextlib.contextmanager
def room_on_disk(*partial: Path) -> Iterator[None]:
    """A full disk becomes HostCannot, and no partial file is left of it."""
    try:
        yield
    except OSError as error:
        if not is_full(error):
            raise
        for file in partial:
            file.unlink(missing_ok=True)
        raise disk_full() from error


def has_room(place: Path) -> bool:
    """Whether a guest whose files are there could be started, or go on."""
    disk = os.statvfs(place)
    return disk.f_bavail * disk.f_frsize >= TO_START


def require_room(place: Path) -> None:
    """HostCannot where a guest that is ended now could not be started again, or what failed had no room."""
    if not has_room(place):
        raise disk_full()
