"""The bytes of volumes (sparse raw files) and snapshots (qcow2), and qemu-img, which turns one into the other.

A file gets its final name only when it is complete; whatever ends in `.part` is unfinished and may be removed.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from oslo_utils.imageutils import format_inspector

from api.volume.tools import Cancelled, lent, opened, run

__all__ = ["GIB", "Cancelled", "Files", "Probed", "SparseWriter", "Unusable", "copy_limit", "probe"]
GIB = 1 << 30
QUICK_S = 60.0
FORMATS = {"raw": "raw", "gpt": "raw", "iso": "raw", "qcow2": "qcow2", "vdi": "vdi", "vhd": "vpc", "vhdx": "vhdx"}
"""What the inspector calls a format → what QEMU calls it. Files of these cannot name others once they passed its
checks; VMDK descriptors can, so it is not among them."""


MADE = {"raw": "raw", "qcow2": "qcow2", "vmdk": "vmdk", "vdi": "vdi", "vhd": "vpc", "vhdx": "vhdx"}
"""What Glance calls the formats that a volume may be uploaded in → what QEMU calls them."""


class Unusable(Exception):
    """The source cannot become this volume; the text is for its owner."""


@dataclass(frozen=True)
class Probed:
    format: str
    virtual_bytes: int


def copy_limit(size_gib: int) -> float:
    """Seconds that a copy of so much may take: ten minutes, and a minute for each GiB."""
    return 600.0 + 60.0 * size_gib


class Files:
    """Paths below STATE/volumes. Every method may be repeated after a crash at any point."""

    def __init__(self, root: Path, uid: int | None = None) -> None:
        """`uid`: whose the files are, and who qemu-img runs as; None: as `tools.unprivileged` says."""
        self.root = root
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        if uid is not None:
            os.chown(root, uid, uid)

    def volume(self, volume_id: str) -> Path:
        return self.root / f"{volume_id}.raw"

    def snapshot(self, snapshot_id: str) -> Path:
        return self.root / f"{snapshot_id}.qcow2"

    def part(self, path: Path) -> Path:
        return path.with_name(path.name + ".part")

    def remove(self, object_id: str) -> None:
        for path in self.root.glob(f"{object_id}.*"):
            path.unlink(missing_ok=True)
        self._sync_directory()

    def remove_parts(self, object_id: str = "*") -> None:
        for path in self.root.glob(f"{object_id}.*.part"):
            path.unlink(missing_ok=True)

    def blank(self, path: Path, size_gib: int) -> None:
        self.part(path).touch(mode=0o600)
        self.finish(path, size_gib)

    def blank_qcow2(self, path: Path, size_gib: int) -> Path:
        """An empty qcow2 under the unfinished name of `path`."""
        part = self.part(path)
        part.unlink(missing_ok=True)
        with lent((part, os.O_CREAT | os.O_RDWR)) as (target,):
            command = ["qemu-img", "create", "-q", "-f", "qcow2", opened(target), str(size_gib * GIB)]
            run(command, never, QUICK_S, (target,))
        return part

    def finish(self, path: Path, size_gib: int | None = None) -> None:
        """Give the unfinished file of `path` its size and, once it is on disk, its name."""
        part = self.part(path)
        descriptor = os.open(part, os.O_RDWR)
        try:
            if size_gib is not None:
                os.ftruncate(descriptor, size_gib * GIB)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        part.replace(path)
        self._sync_directory()

    def extend(self, path: Path, size_gib: int) -> None:
        """Make a raw file longer; one that is long enough stays as it is."""
        if path.stat().st_size < size_gib * GIB:
            os.truncate(path, size_gib * GIB)

    def to_raw(
        self, source: Path, source_format: str, target: Path, cancelled: Callable[[], bool], limit_s: float
    ) -> None:
        """Convert into the unfinished raw file of `target`, sparse where the source has zeros."""
        self.convert(source, source_format, self.part(target), "raw", cancelled, limit_s)

    def convert(
        self,
        source: Path,
        source_format: str,
        target: Path,
        target_format: str,
        cancelled: Callable[[], bool],
        limit_s: float,
    ) -> None:
        """Both formats are told to the tool, which guesses nothing."""
        target.unlink(missing_ok=True)
        with lent((source, os.O_RDONLY), (target, os.O_CREAT | os.O_RDWR)) as (read, write):
            formats = ["-f", source_format, "-O", target_format]
            run(["qemu-img", "convert", *formats, opened(read), opened(write)], cancelled, limit_s, (read, write))

    def _sync_directory(self) -> None:
        descriptor = os.open(self.root, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def never() -> bool:
    return False


def probe(path: Path) -> Probed:
    """Format and size of an untrusted image, read from its bytes alone; what it claims to be counts for nothing.

    Raises Unusable for a format that is not taken, and for a file that names others (backing file, data file)."""
    try:
        found = format_inspector.detect_file_format(str(path))
        if found is None:
            raise Unusable("The image's format could not be read.")
        known = FORMATS.get(str(found))
        if known != "raw":  # raw bytes are taken as they are, whatever partitions they have or lack
            found.safety_check()
        size = path.stat().st_size if known == "raw" else int(found.virtual_size)
    except format_inspector.SafetyCheckFailed as error:
        raise Unusable("The image refers to another file (backing or data file), or is not safe to use.") from error
    except (format_inspector.ImageFormatError, ValueError, ArithmeticError) as error:
        raise Unusable("The image's format could not be read.") from error
    if known is None:
        raise Unusable(f"The image's format ({found}) cannot be used for a volume.")
    return Probed(known, size)


class SparseWriter:
    """Writes a stream so that blocks of zeros take no room on disk."""

    BLOCK = 64 * 1024
    ZEROS = bytes(BLOCK)

    def __init__(self, path: Path) -> None:
        self._file = os.fdopen(os.open(path, os.O_CREAT | os.O_TRUNC | os.O_RDWR, 0o600), "wb")

    def write(self, chunk: bytes) -> None:
        for start in range(0, len(chunk), self.BLOCK):
            block = chunk[start : start + self.BLOCK]
            if block == self.ZEROS[: len(block)]:
                self._file.seek(len(block), os.SEEK_CUR)
            else:
                self._file.write(block)

    def close(self, length: int) -> None:
        self._file.flush()
        os.ftruncate(self._file.fileno(), length)
        self._file.close()

    def abandon(self) -> None:
        self._file.close()
