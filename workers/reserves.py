"""Room that SQLite's journals may grow into when the disk is full: their blocks are taken ahead.

Each commit goes into the journal (WAL) first. While the store's own file cannot grow, nothing is moved there, and the
journal grows. Room ahead in that file itself would not last: each checkpoint cuts it to its length. Standard library
only, as the supervisor is."""

import ctypes
import os
from pathlib import Path

JOURNALS = {"db/*.sqlite-wal": 16 << 20, "temporal.db-wal": 64 << 20}
"""Bytes in all. Temporal writes most: half a MiB a second on a busy machine."""
SHARE = 64  # of the file system at most, for each
LEAVES = 4  # times as much must be free, or nothing is taken
FALLOC_FL_KEEP_SIZE = 1
_libc = ctypes.CDLL(None, use_errno=True)
_libc.fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)


def keep(state_dir: Path) -> None:
    """Take the room of every journal of this cloud that lacks some; safe at any time, since a file's size and contents
    stay. Where the file system cannot do this, nothing is reserved."""
    for pattern, size in JOURNALS.items():
        for file in state_dir.glob(pattern):
            try:
                _take(file, size)
            except OSError:  # gone meanwhile, no room, or a file system without fallocate(2)
                continue


def _take(file: Path, size: int) -> None:
    disk = os.statvfs(file)
    size = min(size, disk.f_blocks * disk.f_frsize // SHARE)
    if file.stat().st_blocks * 512 >= size or disk.f_bavail * disk.f_frsize < LEAVES * size:
        return
    descriptor = os.open(file, os.O_WRONLY | os.O_CLOEXEC)
    try:
        if _libc.fallocate(descriptor, FALLOC_FL_KEEP_SIZE, 0, size):
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
    finally:
        os.close(descriptor)
