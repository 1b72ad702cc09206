"""The instance's disk: a qcow2 overlay over the host's cached image, or refused in words a tenant may read."""

import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from keystoneauth1.session import Session

from infra.contracts.errors import hopeless, host_cannot
from infra.contracts.image import DiskOnHost, ImageOnHost
from infra.host.files import signed
from infra.host.files.cache import TOLD, Base, ImageCache
from infra.host.files.download import Progress
from infra.host.files.owner import Owner, opened
from infra.host.files.paths import HostPaths, checked, is_test_driver, remove_tree
from infra.host.files.room import room_on_disk
from infra.host.heartbeats import Heartbeat, Turns, beating
from infra.host.services.rest import Service
from infra.openstack import IMAGE
from infra.settings import Settings

GIB = 1 << 30


class ImageStore:
    """Disks of this host's instances. `fetch` may run for any number of instances at once, and again after any end."""

    def __init__(self, settings: Settings, session: Session) -> None:
        self._paths = HostPaths(settings)
        self._glance = Service(session, IMAGE, "/v2", settings.region)
        self.cache = ImageCache(self._paths, self._glance)
        self._certificates = settings.image_certificates
        self._pretend = is_test_driver(settings)
        self._pretended: set[str] = set()
        self._turns = Turns()

    def fetch(self, want: ImageOnHost, heartbeat: Heartbeat, heartbeat_details: Sequence[Any] = ()) -> DiskOnHost:
        """See `activities.image.Image.fetch_to_host`. Where a download goes on is read from the partial file itself,
        which is never behind `heartbeat_details`; those only start the count that the next heartbeats show."""
        if self._pretend:
            return self._placeholder(want, self._paths.disk(want.instance_id))
        progress = Progress(checked(want.image_id))
        if heartbeat_details and isinstance(heartbeat_details[0], dict):
            progress.bytes = int(heartbeat_details[0].get("bytes", 0))
        begun = time.monotonic()
        with beating(heartbeat, progress.details), self._base(want, progress) as base:
            cached = time.monotonic()
            with self._turns.take(want.instance_id):
                id = want.instance_id
                self._overlay(want, base, self._paths.disk(id), self._paths.image_of(id))
        return DiskOnHost(
            downloaded_bytes=progress.fetched,
            parts={"image": round(cached - begun, 3), "overlay": round(time.monotonic() - cached, 3)},
        )

    def newest(self) -> list[str]:
        """Ids of images that this host has, for its report. One that pretends its guests has those it was asked for."""
        return list(self._pretended)[:TOLD] if self._pretend else self.cache.newest()

    def fetch_only(self, want: ImageOnHost, heartbeat: Heartbeat) -> DiskOnHost:
        """See `activities.image.Image.cache_image`."""
        progress = Progress(checked(want.image_id))
        if not self._pretend:
            with beating(heartbeat, progress.details), self._base(want, progress) as base:
                _require_room(want, base)
        return DiskOnHost(downloaded_bytes=progress.fetched)

    def fetch_beside(self, want: ImageOnHost, heartbeat: Heartbeat) -> DiskOnHost:
        """See `activities.rescue.Rescue.fetch_rescue_disk`."""
        id, progress = want.instance_id, Progress(checked(want.image_id))
        if self._pretend:
            return self._placeholder(want, self._paths.rescue_disk(id))
        cached = self._base(want, progress)
        with beating(heartbeat, progress.details), cached as base, self._turns.take(id):
            self._overlay(want, base, self._paths.rescue_disk(id), self._paths.image_of_rescue(id))
        return DiskOnHost(downloaded_bytes=progress.fetched)

    def remove_beside(self, instance_id: str) -> None:
        """The rescue disk goes; absent is success."""
        with self._turns.take(instance_id):
            self._paths.rescue_disk(instance_id).unlink(missing_ok=True)
            self._paths.image_of_rescue(instance_id).unlink(missing_ok=True)

    def remove(self, instance_id: str) -> None:
        """The instance's directory goes; absent is success."""
        with self._turns.take(instance_id):
            remove_tree(self._paths.instance(instance_id))

    @contextmanager
    def _base(self, want: ImageOnHost, progress: Progress) -> Iterator[Base]:
        """The image in the cache, its signature verified where that is asked for: each time, since a signature and who
        is trusted may be others than when it was fetched."""
        with self.cache.base(want.image_id, progress) as base:
            if want.trusted:
                signature = signed.properties_of(self._glance, want.image_id)
                signed.require(base.path, signature, want.trusted, self._certificates)
            yield base

    def _overlay(self, want: ImageOnHost, base: Base, disk: Path, names_image: Path) -> None:
        size = _require_room(want, base)
        if disk.exists() and names_image.read_text() == want.image_id:
            return  # a guest may be writing to it
        partial = disk.with_name(f"{disk.name}.part")
        with room_on_disk(partial):
            self._paths.make_instance(want.instance_id)
            names_image.write_text(want.image_id)  # first: from now on the image is in use
            self._create_overlay(base, partial, max(size, base.virtual_size), self._paths.owner_of(want.instance_id))
            partial.replace(disk)

    def _create_overlay(self, base: Base, target: Path, size: int, owner: Owner) -> None:
        """The image is named relative to the disk: libvirt sees both in another place than we do."""
        beside = f"../../{base.path.relative_to(self._paths.root)}"
        with os.fdopen(os.open(target, os.O_CREAT | os.O_RDWR | os.O_TRUNC, 0o600), "r+b") as file:
            owner.writes(target)
            names = ["-u", "-b", beside, "-F", base.format, *opened(file.fileno()), str(size)]
            done = subprocess.run(
                owner.command("qemu-img", "create", "-q", "-f", "qcow2", *names),
                pass_fds=[file.fileno()],
                capture_output=True,
                text=True,
                timeout=60,
            )
        if done.returncode:
            target.unlink(missing_ok=True)
            raise host_cannot(f"qemu-img could not make the disk: {done.stderr.strip()[:300]}")

    def _placeholder(self, want: ImageOnHost, disk: Path) -> DiskOnHost:
        """Under the test driver there is no guest: a few bytes stand for the disk, so that a leak can be counted."""
        if want.trusted:
            raise host_cannot("a host that pretends its guests fetches no image whose signature it could verify")
        self._paths.make_instance(want.instance_id)
        disk.write_text(want.image_id)
        self._pretended.add(want.image_id)
        return DiskOnHost()


def _require_room(want: ImageOnHost, base: Base) -> int:
    """Size of the disk in bytes. Hopeless when the image does not fit into it."""
    size = want.disk_gb * GIB
    if want.disk_gb and size < base.virtual_size:
        raise hopeless(
            "Flavor's disk is too small for requested image. "
            f"Flavor disk is {size} bytes, image is {base.virtual_size} bytes.",
            code=400,
        )
    return size
