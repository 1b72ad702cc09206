"""Sends what lies beside guests' root disks to other hosts, by way of the image service, and receives it."""

import time
from pathlib import Path

from keystoneauth1.session import Session

from infra.contracts.resize import CarriedFiles as Wanted
from infra.contracts.snapshot import SnapshotOnHost, Uploaded
from infra.host.driver import Driver
from infra.host.files.carried import CarriedFiles
from infra.host.files.download import Progress, describe, download
from infra.host.files.paths import HostPaths
from infra.host.files.room import room_on_disk
from infra.host.heartbeats import Heartbeat, beating
from infra.host.services.fence import Fence
from infra.host.services.rest import Service
from infra.openstack import IMAGE
from infra.settings import Settings


class Carrier:
    """Archives lie in the servers' directories, named by their image's id, as copies of disks do."""

    def __init__(self, settings: Settings, session: Session, driver: Driver, fence: Fence) -> None:
        self._paths, self._driver, self._fence = HostPaths(settings), driver, fence
        self._files = CarriedFiles(self._paths)
        self._glance = Service(session, IMAGE, "/v2", settings.region)

    def pack(self, want: SnapshotOnHost, heartbeat: Heartbeat) -> Uploaded:
        """See `activities.moving.Moving.pack_files`. To be uploaded by `Snapshots`, which knows it by its name."""
        begun, progress = time.monotonic(), Progress(want.image_id)
        file = self._paths.copy(want.instance_id, want.image_id, want.form)
        with beating(heartbeat, progress.details), self._driver.at_work(want):
            if not file.exists():
                self._files.pack(want.instance_id, file, progress)
        return Uploaded(parts={"pack": round(time.monotonic() - begun, 3)})

    def unpack(self, want: Wanted, heartbeat: Heartbeat) -> Uploaded:
        """See `activities.moving.Moving.unpack_files`. What broke off is gone on with."""
        begun, progress = time.monotonic(), Progress(want.image_id)
        with beating(heartbeat, progress.details), self._driver.at_work(want):
            part = self._part(want)
            self._paths.make_instance(want.instance_id)
            with room_on_disk(part):
                part.touch(mode=0o600)
                download(self._glance, describe(self._glance, want.image_id), part, progress)
            self._files.unpack(want.instance_id, part, want.local_disks)
            part.unlink()
        return Uploaded(parts={"carried": round(time.monotonic() - begun, 3)})

    def drop(self, want: Wanted) -> None:
        """See `activities.moving.Moving.drop_files`."""
        if not self._fence.superseded(want):
            self._part(want).unlink(missing_ok=True)
            self._driver.files.remove_guest(want.instance_id)

    def _part(self, want: Wanted) -> Path:
        return self._paths.copy(want.instance_id, want.image_id, "part")
