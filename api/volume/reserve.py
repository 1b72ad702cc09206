"""A reserve on the volume store: a file that is given up when the disk is full, so that freeing always works."""

import os
import threading
from collections.abc import Callable
from pathlib import Path

from sqlalchemy.exc import OperationalError

from infra import logs

SIZE = 32 << 20
SHARE = 16  # of the file system at most, so that a small store is not all reserve
log = logs.get(__name__)


class Reserve:
    """The file lies beside the volumes, and by default on the disk of the service's own store as well."""

    def __init__(self, root: Path) -> None:
        self._root, self._file = root, root / ".reserve"
        self._lock = threading.Lock()

    def free(self) -> int:
        """Bytes that this service may still use."""
        disk = os.statvfs(self._root)
        return disk.f_bavail * disk.f_frsize

    @property
    def size(self) -> int:
        disk = os.statvfs(self._root)
        return min(SIZE, disk.f_blocks * disk.f_frsize // SHARE)

    def low(self) -> bool:
        """Whether new data must not be written: what is left belongs to guests' writes and to our records."""
        return self.free() < self.size

    def refill(self) -> None:
        """Take the reserve again once there is room for twice as much."""
        with self._lock:
            size = self.size
            held = self._file.stat().st_blocks * 512 if self._file.exists() else 0
            if held >= size or self.free() < 2 * size:
                return
            descriptor = os.open(self._file, os.O_CREAT | os.O_RDWR, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, max(size, 1))
            except OSError as error:
                log.warning("the reserve could not be taken", error=str(error))
                os.ftruncate(descriptor, 0)
            finally:
                os.close(descriptor)

    def release(self) -> None:
        with self._lock:
            self._file.unlink(missing_ok=True)
        log.warning("the volume store is full: its reserve was released")

    def freeing(self, action: Callable[[], None]) -> None:
        """Do what frees room, with the reserve's help when the disk is full."""
        try:
            action()
        except (OperationalError, OSError) as error:
            if not is_full(error):
                raise
            self.release()
            action()


def is_full(error: BaseException) -> bool:
    """Whether the disk had no room: SQLite says so in words, the system by number."""
    words = str(error).lower()
    return "disk is full" in words or "no space left" in words or "disk i/o error" in words
