"""Room that SQLite's files may still grow into when the disk is full: blocks beyond their ends, taken ahead.

Standard library only, as the supervisor is."""

import ctypes
import os
from collections.abc import Iterator
from pathlib import Path

AHEAD = 16 << 20  # bytes beyond a file's end: minutes of a busy cloud's records
SHARE = 256  # of the file system at most, for each file
LEAVES = 4  # times as much must be free, or nothing is taken
FALLOC_FL_KEEP_SIZE = 1
STORES = ("db/*.sqlite", "db/*.sqlite-wal", "temporal.db", "temporal.db-wal")
_libc = ctypes.CDLL(None, use_errno=True)
_libc.fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)


def keep(state_dir: Path) -> None:
    """Take room for every store of this cloud that has less than half of what it should; safe at any time, since a
    file's size and contents stay. Where the file system cannot do this, nothing is reserved."""
    for file in _stores(state_dir):
        try:
            _reserve(file)
        except OSError:  # gone meanwhile, no room, or a file system without fallocate(2)
            continue


def ahead(file: Path) -> int:
    """Bytes that this file may grow by without asking the file system for room."""
    known = file.stat()
    return known.st_blocks * 512 - known.st_size


def _stores(state_dir: Path) -> Iterator[Path]:
    for pattern in STORES:
        yield from state_dir.glob(pattern)


def _reserve(file: Path) -> None:
    disk = os.statvfs(file)
    wanted = min(AHEAD, disk.f_blocks * disk.f_frsize // SHARE)
    if ahead(file) >= wanted // 2 or disk.f_bavail * disk.f_frsize < LEAVES * wanted:
        return
    descriptor = os.open(file, os.O_WRONLY | os.O_CLOEXEC)
    try:
        if _libc.fallocate(descriptor, FALLOC_FL_KEEP_SIZE, os.fstat(descriptor).st_size, wanted):
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
    finally:
        os.close(descriptor)
