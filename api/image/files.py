"""Image data on disk: one file per image, written beside its final name and moved there when it is whole."""

import errno
import fcntl
import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from api.common.errors import ServiceError

CHUNK = 1 << 20
PARTIAL = re.compile(r"^\.(?P<image>[0-9a-f-]{36})\.(?P<upload>[0-9a-f-]{36})\.part$")
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Partial:
    """An upload's file; the lock on it tells other processes that the upload lives. Hashes follow what is written."""

    def __init__(self, path: Path) -> None:
        self.path, self.size = path, 0
        self._md5, self._sha512 = hashlib.md5(usedforsecurity=False), hashlib.sha512()
        self._file = os.fdopen(os.open(path, os.O_CREAT | os.O_RDWR | os.O_EXCL, 0o600), "wb", buffering=0)
        fcntl.flock(self._file, fcntl.LOCK_EX)

    @property
    def checksum(self) -> str:
        return self._md5.hexdigest()

    @property
    def sha512(self) -> str:
        return self._sha512.hexdigest()

    def write(self, data: bytes) -> None:
        """Append; 413 when the disk has no room for it."""
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            raise self._full(error) from error
        self._md5.update(data)
        self._sha512.update(data)
        self.size += len(data)

    def move_to(self, target: Path) -> None:
        """Make the data the image's own, durably."""
        self.path.replace(target)
        directory = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def sync(self) -> None:
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            raise self._full(error) from error

    def close(self) -> None:
        self.path.unlink(missing_ok=True)
        self._file.close()

    @staticmethod
    def _full(error: OSError) -> Exception:
        return storage_full() if error.errno in FULL else error


class Files:
    """STATE/images/<image id>, and staged data that waits for its import in <image id>.stage."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory.absolute()
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def data(self, image_id: str) -> Path:
        return self.directory / image_id

    def staged(self, image_id: str) -> Path:
        return self.directory / f"{image_id}.stage"

    def partial(self, image_id: str, upload_id: str) -> Partial:
        return Partial(self.directory / f".{image_id}.{upload_id}.part")

    def open(self, image_id: str) -> BinaryIO:
        return self.data(image_id).open("rb")

    def remove(self, image_id: str) -> None:
        self.data(image_id).unlink(missing_ok=True)
        self.staged(image_id).unlink(missing_ok=True)

    def expect(self, size: int) -> None:
        """413 at once when so many bytes cannot fit."""
        if size > shutil.disk_usage(self.directory).free:
            raise storage_full()

    def dead_partials(self) -> Iterator[tuple[str, Path]]:
        """(upload id, file) of uploads whose process is gone."""
        for path in self.directory.glob(".*.part"):
            found = PARTIAL.match(path.name)
            if found and not _locked(path):
                yield found["upload"], path

    def live_uploads(self) -> set[str]:
        found = ((PARTIAL.match(path.name), path) for path in self.directory.glob(".*.part"))
        return {match["upload"] for match, path in found if match and _locked(path)}

    def images(self) -> list[str]:
        """Ids of images that have data here, staged or whole."""
        return sorted({path.name.removesuffix(".stage") for path in self.directory.iterdir() if path.name[0] != "."})


def storage_full() -> ServiceError:
    return ServiceError(413, "Image storage media is full: There is not enough disk space on the image storage media.")


def _locked(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False
