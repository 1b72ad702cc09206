"""Images on this host: one download per image however many builds ask, verified, evicted by age when space is low."""

import contextlib
import errno
import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from temporalio.exceptions import ApplicationError

from infra import logs
from infra.contracts.errors import host_cannot
from infra.credentials import write_private
from infra.host.files import image_format
from infra.host.files.download import Progress, describe, download, unacceptable
from infra.host.files.paths import HostPaths, checked
from infra.host.services.rest import Service
from infra.interruption import still_wanted

RESERVE = 256 << 20  # bytes that a download leaves free
FULL = (errno.ENOSPC, errno.EDQUOT)
log = logs.get(__name__)


@dataclass(frozen=True)
class Base:
    """A verified image, read-only, fit to lie under overlays. Sizes in bytes."""

    path: Path
    format: str
    virtual_size: int


@contextlib.contextmanager
def room_on_disk(*partial: Path) -> Iterator[None]:
    """A full disk becomes HostCannot, and no partial file is left of it."""
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        for file in partial:
            file.unlink(missing_ok=True)
        raise host_cannot("no space left on the host's disk") from error


class ImageCache:
    """STATE/hosts/<host>/images: `<id>` the image, `<id>.json` its format, `<id>.part` a download, `<id>.lock`.

    The image appears last, by a rename, so that its presence says that it is verified. Readers share the lock,
    a download or an eviction has it alone; flock holds among threads and processes and dies with its holder."""

    def __init__(self, paths: HostPaths, glance: Service, reserve: int = RESERVE) -> None:
        self._paths, self._glance, self._reserve = paths, glance, reserve

    @contextlib.contextmanager
    def base(self, image_id: str, progress: Progress) -> Iterator[Base]:
        """The cached image, fetched if need be; it cannot be evicted inside the block."""
        self._paths.owner.directory(self._paths.images)
        file = self._paths.images / checked(image_id)
        with file.with_name(f"{image_id}.lock").open("a") as lock:
            _wait_for(lock, fcntl.LOCK_SH)
            while not file.exists():
                _wait_for(lock, fcntl.LOCK_EX)
                if not file.exists():
                    self._fetch(image_id, file, progress)
                _wait_for(lock, fcntl.LOCK_SH)  # an eviction may come in between
            record = file.with_name(f"{image_id}.json")
            os.utime(record)
            facts = json.loads(record.read_text())
            yield Base(file, facts["format"], facts["virtual_size"])

    def _fetch(self, image_id: str, file: Path, progress: Progress) -> None:
        part = file.with_name(f"{image_id}.part")
        try:
            image = describe(self._glance, image_id)
            with room_on_disk(part):
                part.touch(mode=0o600)
                self._make_room(image.size - (part.stat().st_size if part.exists() else 0))
                download(self._glance, image, part, progress)
            self._paths.owner.reads(part)
            facts = self._inspect(part, image_id)
        except ApplicationError:  # nobody will go on with this download
            part.unlink(missing_ok=True)
            raise
        record = {"format": facts.format, "virtual_size": facts.virtual_size, "digest": image.digest}
        write_private(file.with_name(f"{image_id}.json"), json.dumps(record))
        part.replace(file)
        log.info("image cached", image=image_id, bytes=image.size, fetched=progress.fetched, format=facts.format)

    def _inspect(self, part: Path, image_id: str) -> image_format.ImageFormat:
        try:
            return image_format.inspect(part, self._paths.owner)
        except image_format.Unacceptable as error:
            raise unacceptable(image_id, str(error)) from error

    def _make_room(self, wanted: int) -> None:
        """Evict unused images, the longest unused first, until `wanted` bytes fit; OSError when they cannot."""
        candidates = self._by_age()
        while (lacking := wanted + self._reserve - shutil.disk_usage(self._paths.images).free) > 0:
            if not candidates:
                if lacking > self._reserve:  # it does not even fit into the reserve
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                return
            self._evict(candidates.pop(0))

    def _by_age(self) -> list[Path]:
        """Images without an overlay here, and downloads that nobody goes on with; oldest use first."""
        used = self.in_use()
        stems = {file.stem for file in self._paths.images.glob("*.lock")} - used
        aged = []
        for image_id in stems:
            for name in (f"{image_id}.json", f"{image_id}.part"):
                with contextlib.suppress(FileNotFoundError):
                    aged.append(((self._paths.images / name).stat().st_mtime, image_id))
        return [self._paths.images / image_id for _, image_id in sorted(aged)]

    def in_use(self) -> set[str]:
        """Ids of the images that lie under an instance's disk."""
        return {file.read_text() for file in self._paths.instances.glob("*/image")}

    def _evict(self, file: Path) -> None:
        with file.with_name(f"{file.name}.lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return  # somebody builds on it, or downloads it, right now
            if file.name in self.in_use():
                return
            for name in (file.name, f"{file.name}.part", f"{file.name}.json"):
                file.with_name(name).unlink(missing_ok=True)
            log.info("image evicted", image=file.name)


def _wait_for(lock: IO[str], kind: int) -> None:
    """flock in small steps; a cancel ends the wait. Changing the kind may let others in between."""
    while True:
        try:
            fcntl.flock(lock, kind | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            still_wanted()
            time.sleep(0.05)
