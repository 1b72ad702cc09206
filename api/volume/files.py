"""The bytes of volumes (sparse raw files) and snapshots (qcow2), and qemu-img, which turns one into the other.

A file gets its final name only when it is complete; whatever ends in `.part` is unfinished and may be removed.
"""

import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

GIB = 1 << 30
PROBE_LIMITS = ("prlimit", "--as=1073741824", "--cpu=30")
FORMATS = ("raw", "qcow2", "vdi", "vpc", "vhdx")
"""Formats whose files cannot name other files, once a qcow2's backing and data files are refused."""


class Unusable(Exception):
    """The source cannot become this volume; the text is for its owner."""


class Cancelled(Exception):
    """The work was asked to stop: the volume is being deleted, or the service is."""


@dataclass(frozen=True)
class Probed:
    format: str
    virtual_bytes: int


class Files:
    """Paths below STATE/volumes. Every method may be repeated after a crash at any point."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True, mode=0o700)

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
        run(["qemu-img", "create", "-q", "-f", "qcow2", str(part), str(size_gib * GIB)], never)
        part.chmod(0o600)
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

    def to_raw(self, source: Path, source_format: str, target: Path, cancelled: Callable[[], bool]) -> None:
        """Convert into the unfinished raw file of `target`, sparse where the source has zeros."""
        part = self.part(target)
        part.unlink(missing_ok=True)
        run(["qemu-img", "convert", "-f", source_format, "-O", "raw", str(source), str(part)], cancelled)
        part.chmod(0o600)

    def _sync_directory(self) -> None:
        descriptor = os.open(self.root, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def never() -> bool:
    return False


def run(argv: list[str], cancelled: Callable[[], bool]) -> str:
    """Output of a command. Raises Cancelled, or OSError with the command's last words (ENOSPC where they say so)."""
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        while True:
            try:
                out, err = process.communicate(timeout=0.2)
                break
            except subprocess.TimeoutExpired:
                if cancelled():
                    process.kill()
    if cancelled():
        raise Cancelled
    if process.returncode:
        words = err.strip().splitlines()[-1:] or [f"exit {process.returncode}"]
        number = 28 if "No space left" in err else 5  # ENOSPC, EIO
        raise OSError(number, f"{Path(argv[0]).name}: {words[0]}")
    return out


FOREIGN = "The image refers to another file (backing or data file), which is not allowed."


def _refuse_foreign_qcow2(path: Path) -> None:
    """Read a qcow2's header ourselves, since qemu-img would open the files that it names. Source: QEMU's "qcow2" format
    specification: backing file offset at byte 8, incompatible features at byte 72 (bit 2: external data file)."""
    with path.open("rb") as image:
        header = image.read(80)
    if len(header) < 80 or header[:4] != b"QFI\xfb":
        return
    version, backing = int.from_bytes(header[4:8], "big"), int.from_bytes(header[8:16], "big")
    if backing or (version >= 3 and header[79] & 4):
        raise Unusable(FOREIGN)


def probe(path: Path) -> Probed:
    """Format and size of an untrusted image, read from its bytes. Raises Unusable when it could name other files."""
    _refuse_foreign_qcow2(path)
    try:
        out = run([*PROBE_LIMITS, "qemu-img", "info", "--output=json", f"file:{path}"], never)
    except OSError as error:
        raise Unusable("The image's format could not be read.") from error
    info: dict[str, Any] = json.loads(out)
    known = info["format"]
    if known not in FORMATS:
        raise Unusable(f"The image's format ({known}) cannot be used for a volume.")
    extra = info.get("format-specific", {}).get("data", {})
    if info.get("backing-filename") or info.get("full-backing-filename") or extra.get("data-file"):
        raise Unusable(FOREIGN)
    return Probed(known, int(info["virtual-size"]))


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
