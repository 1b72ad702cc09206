"""Whether a cached image still is what was downloaded: digests of its blocks, kept beside it.

A file that changed through the filesystem shows it by its stamp, and is read whole. What a disk lost silently is found
by samples at each use, bounded in cost, and by a scrub that reads everything now and then."""

import hashlib
import random
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from infra.interruption import still_wanted

BLOCK = 4 << 20
SAMPLED = 64 << 20  # bytes read at a use; a smaller image is read whole
DIGEST_BYTES = hashlib.sha256().digest_size


@dataclass(frozen=True)
class Stamp:
    """What changes whenever the file is written to or replaced."""

    size: int
    mtime_ns: int
    inode: int

    @classmethod
    def of(cls, file: Path) -> "Stamp":
        state = file.stat()
        return cls(state.st_size, state.st_mtime_ns, state.st_ino)


def sums_of(file: Path) -> bytes:
    """SHA-256 of each block of `file`, one after the other."""
    with file.open("rb") as stream:
        found = bytearray()
        while block := stream.read(BLOCK):
            still_wanted()
            found += hashlib.sha256(block).digest()
    return bytes(found)


def whole(file: Path, sums: bytes) -> bool:
    """Whether every block is as it was."""
    return sums_of(file) == sums


def sample(file: Path, sums: bytes) -> bool:
    """Whether as many blocks as SAMPLED allows are as they were, others each time."""
    count = len(sums) // DIGEST_BYTES
    return _blocks_are(file, sums, random.sample(range(count), min(count, SAMPLED // BLOCK)))


def _blocks_are(file: Path, sums: bytes, numbers: Iterable[int]) -> bool:
    with file.open("rb") as stream:
        for number in sorted(numbers):
            still_wanted()
            stream.seek(number * BLOCK)
            expected = sums[number * DIGEST_BYTES : (number + 1) * DIGEST_BYTES]
            if hashlib.sha256(stream.read(BLOCK)).digest() != expected:
                return False
    return True
