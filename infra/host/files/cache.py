"""Images on this host: one download per image however many builds ask, verified, evicted by age when space is low."""

import contextlib
import errno
import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from temporalio.exceptions import ApplicationError

from infra import logs
from infra.credentials import write_private
from infra.host.files import image_format, integrity
from infra.host.files.download import Progress, describe, download, unacceptable
from infra.host.files.integrity import Stamp
from infra.host.files.paths import HostPaths, checked
from infra.host.files.room import room_on_disk
from infra.host.services.rest import Service
from infra.interruption import still_wanted

SEEN_FOR_S = 60.0  # an image that was just looked at is not looked at again, unless it changed
TOLD = 50  # images that a host's report names; of another one the host is asked to fetch it, and has it
RESERVE = 256 << 20  # bytes that a download leaves free
log = logs.get(__name__)


@dataclass(frozen=True)
class Base:
    """A verified image, read-only, fit to lie under overlays. Sizes in bytes."""

    path: Path
    format: str
    virtual_size: int


class ImageCache:
    """STATE/hosts/<host>/images: `<id>` the image, `<id>.json` its format, `<id>.sums` the digests of its blocks,
    `<id>.part` a download, `<id>.lock`.

    The image appears last, by a rename, so that its presence says that it was verified. It is looked at again at each
    use, and replaced by a fresh download when it is not what it was; guests that run go on with what they have opened.
    Readers share the lock, a download or an eviction has it alone; flock holds among threads and processes and dies
    with its holder."""

    def __init__(self, paths: HostPaths, glance: Service, reserve: int = RESERVE) -> None:
        self._paths, self._glance, self._reserve = paths, glance, reserve
        self._seen: dict[str, tuple[Stamp, float]] = {}  # image -> what was found sound, and when

    @contextlib.contextmanager
    def base(self, image_id: str, progress: Progress) -> Iterator[Base]:
        """The cached image, fetched if need be; it cannot be evicted inside the block."""
        self._paths.all_guests.directory(self._paths.images)
        file = self._paths.images / checked(image_id)
        with file.with_name(f"{image_id}.lock").open("a") as lock:
            _wait_for(lock, fcntl.LOCK_SH)
            while not self._sound(file):
                _wait_for(lock, fcntl.LOCK_EX)
                if not self._sound(file):
                    self._fetch(image_id, file, progress)
                _wait_for(lock, fcntl.LOCK_SH)  # an eviction may come in between
            record = file.with_name(f"{image_id}.json")
            os.utime(record)
            facts = json.loads(record.read_text())
            yield Base(file, facts["format"], facts["virtual_size"])

    def newest(self) -> list[str]:
        """Ids of at most `TOLD` images that are here, the one that was used last first. What cannot be read, since it
        was evicted or its disk fails, is not told: the host reports all the same."""
        aged = []
        with contextlib.suppress(OSError):
            for record in self._paths.images.glob("*.json"):
                with contextlib.suppress(OSError):
                    aged.append((record.stat().st_mtime, record.stem))
        return [image_id for _, image_id in sorted(aged, reverse=True)[:TOLD]]

    def scrub(self) -> list[str]:
        """Read every cached image whole. One that is not what it was is fetched anew where a guest's disk lies over it,
        else removed; ids of those."""
        bad = []
        for record in sorted(self._paths.images.glob("*.json")):
            file = record.with_suffix("")
            with file.with_name(f"{file.name}.lock").open("a") as lock:
                _wait_for(lock, fcntl.LOCK_SH)
                if not file.exists() or self._sound(file, every_block=True):
                    continue
                _wait_for(lock, fcntl.LOCK_EX)
                bad.append(file.name)
                if file.name in self.in_use():
                    self._fetch(file.name, file, Progress(file.name))
                else:
                    self._remove(file)
        return bad

    def _sound(self, file: Path, *, every_block: bool = False) -> bool:
        """Whether the image is there and, as far as is looked at, what was downloaded."""
        sums = file.with_name(f"{file.name}.sums")
        if not file.exists() or not sums.exists():
            return False
        stamp, known = Stamp.of(file), self._seen.get(file.name)
        if not every_block and known and known[0] == stamp and time.monotonic() - known[1] < SEEN_FOR_S:
            return True
        record = file.with_name(f"{file.name}.json")
        facts = json.loads(record.read_text())
        unchanged = facts.get("stamp") == asdict(stamp)
        look = integrity.sample if unchanged and not every_block else integrity.whole
        if not look(file, bytes.fromhex(sums.read_text())):
            users = sum(1 for other in self._paths.instances.glob("*/image") if other.read_text() == file.name)
            log.error("cached image is damaged", image=file.name, disks_over_it=users)
            return False
        if not unchanged:
            write_private(record, json.dumps(facts | {"stamp": asdict(stamp)}))
        self._seen[file.name] = (stamp, time.monotonic())
        return True

    def _fetch(self, image_id: str, file: Path, progress: Progress) -> None:
        part = file.with_name(f"{image_id}.part")
        try:
            image = describe(self._glance, image_id)
            with room_on_disk(part):
                part.touch(mode=0o600)
                self._make_room(image.size - (part.stat().st_size if part.exists() else 0))
                download(self._glance, image, part, progress)
            self._paths.all_guests.reads(part)
            facts = self._inspect(part, image_id)
        except ApplicationError:  # nobody will go on with this download
            part.unlink(missing_ok=True)
            raise
        record: dict[str, Any] = {"format": facts.format, "virtual_size": facts.virtual_size, "digest": image.digest}
        record["stamp"] = asdict(Stamp.of(part))
        write_private(file.with_name(f"{image_id}.sums"), integrity.sums_of(part).hex())
        write_private(file.with_name(f"{image_id}.json"), json.dumps(record))
        part.replace(file)
        log.info("image cached", image=image_id, bytes=image.size, fetched=progress.fetched, format=facts.format)

    def _inspect(self, part: Path, image_id: str) -> image_format.ImageFormat:
        try:
            return image_format.inspect(part, self._paths.all_guests)
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
        """Ids of the images that lie under an instance's disk, or under one that is kept for a way back."""
        return {file.read_text() for name in ("image", "image.*") for file in self._paths.instances.glob(f"*/{name}")}

    def _evict(self, file: Path) -> None:
        with file.with_name(f"{file.name}.lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return  # somebody builds on it, or downloads it, right now
            if file.name in self.in_use():
                return
            self._remove(file)
            log.info("image evicted", image=file.name)

    def _remove(self, file: Path) -> None:
        for suffix in ("", ".part", ".json", ".sums"):
            file.with_name(file.name + suffix).unlink(missing_ok=True)


def _wait_for(lock: IO[str], kind: int) -> None:
    """flock in small steps; a cancel ends the wait. Changing the kind may let others in between."""
    while True:
        try:
            fcntl.flock(lock, kind | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            still_wanted()
            time.sleep(0.05)
