"""The disk of a whole cloud without room, asked by the client: each action that fails says why in its event, leaves the
server as it was and nothing behind, and works once there is room.

The cloud is this module's own: it lies on a small file system."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.troubles import fill, small_disk
from tests.e2e.cloud import Cloud, Server, wait_for
from tests.ports import free_offset
from workers.cli.client import ClientFailed

MIB = 1 << 20
WRITTEN = 24 * MIB
"""By the guest, of what cannot be made smaller."""
SCANT = 20 * MIB
"""Room for a guest's start, not for a copy of what it wrote."""


@pytest.fixture(scope="module")
def small(openstack_client: str) -> Iterator[Cloud]:
    if not Path("/dev/loop-control").exists():
        pytest.skip("file systems cannot be mounted here")
    state_dir = Path(tempfile.mkdtemp(prefix="kilonova-full-"))
    try:
        with small_disk(state_dir):
            cloud = Cloud(state_dir, free_offset())
            cloud.admin.program = cloud.demo.program = openstack_client
            try:
                up = cloud.kilonova("up", "--demo-objects", seconds=280)
                assert up.returncode == 0, up.stdout + up.stderr
                yield cloud
            finally:
                down = cloud.kilonova("down")
            assert down.returncode == 0, down.stdout
    finally:
        shutil.rmtree(state_dir, ignore_errors=True)


@pytest.fixture(scope="module")
def full(small: Cloud) -> "Full":
    small.admin("flavor", "create", "--id", "1", "--vcpus", "1", "--ram", "96", "--disk", "2", "bigger")
    nic = ["--network", "provider", "--key-name", "demo-key", "--wait"]
    made = small.demo("server", "create", "--flavor", "keywa.com", "--image", "cirros", *nic, "full")
    small.key = small.settings.state_dir / "demo_key"
    server = small.built(made["id"])
    small.ssh(server, f"head -c {WRITTEN} /dev/urandom > kept; sync")
    larger = small.settings.state_dir / "larger"
    larger.write_bytes(os.urandom(WRITTEN))
    form = ["--disk-format", "raw", "--container-format", "bare", "--file", str(larger)]
    small.demo("image", "create", *form, "larger")
    larger.unlink()
    return Full(small, server)


class Full:
    def __init__(self, cloud: Cloud, server: Server) -> None:
        self.cloud, self.server = cloud, server
        self._filler = cloud.settings.state_dir / "filler"
        self._own = cloud.host.host_dir / "instances" / server.id

    def refuses(self, but: int, reason: str, *command: str) -> None:
        """With `but` bytes of room the action fails for this reason, and the server is what it was."""
        status, files, images = self.status(), self._files(), self._images()
        fill(self._filler)
        os.truncate(self._filler, self._filler.stat().st_size - but)
        try:
            said = self._ask(*command)
            self.rests(status)
            told = self.cloud.admin.get(f"/servers/{self.server.id}/os-instance-actions")["instanceActions"][0]
            shown = self.cloud.admin("server", "event", "show", self.server.id, told["request_id"])
            why = [event["details"] for event in shown["events"] if event["details"]]
            assert shown["message"] == "Error" and reason in str(why), (said, why)
            wait_for(lambda: self._files() <= files, 20, f"nothing is left of {command}")
        finally:
            self._filler.unlink()
        assert self._images() == images
        if status == "ACTIVE":
            assert self.cloud.qemu_pids(self.server.id)

    def works(self, status: str, *command: str) -> None:
        self.cloud.demo(*command, answers=False)
        self.rests(status)

    def rests(self, status: str) -> None:
        def there() -> bool:
            shown = self.cloud.admin.get(f"/servers/{self.server.id}")["server"]
            return shown["OS-EXT-STS:task_state"] is None and shown["status"] == status

        wait_for(there, 120, f"the server is {status}")

    def status(self) -> str:
        return self.cloud.status(self.server.id)

    def _ask(self, *command: str) -> str:
        """What the client says, if anything: some failures are told to it at once."""
        try:
            self.cloud.demo(*command, answers=False)
        except ClientFailed as error:
            return str(error)
        return ""

    def _files(self) -> set[str]:
        return {file.name for file in self._own.iterdir()}

    def _images(self) -> set[str]:
        return {image.id for image in self.cloud.demo.sdk.image.images()}


NO_SPACE = "no space left on the host's disk"
ON_DISK = "No space left on device"


def test_an_image_of_a_running_server(full: Full) -> None:
    full.refuses(8 * MIB, NO_SPACE, "server", "image", "create", "--name", "one", "full")
    full.works("ACTIVE", "server", "image", "create", "--wait", "--name", "one", "full")
    size = full.cloud.demo("image", "show", "one")["size"]
    full.refuses(size * 3 // 2, "Image storage media is full", "server", "image", "create", "--name", "two", "full")


def test_suspend(full: Full) -> None:
    full.refuses(4 * MIB, NO_SPACE, "server", "suspend", "full")
    full.works("SUSPENDED", "server", "suspend", "full")
    full.works("ACTIVE", "server", "resume", "full")


def test_a_resize_that_grows(full: Full) -> None:
    full.refuses(SCANT, ON_DISK, "server", "resize", "--flavor", "bigger", "full")
    full.works("VERIFY_RESIZE", "server", "resize", "--flavor", "bigger", "full")
    full.works("ACTIVE", "server", "resize", "revert", "full")


def test_rescue(full: Full) -> None:
    full.refuses(0, NO_SPACE, "server", "rescue", "full")
    full.works("RESCUE", "server", "rescue", "full")
    full.works("ACTIVE", "server", "unrescue", "full")


def test_a_volume_is_attached_without_room(full: Full) -> None:
    volume = full.cloud.demo("volume", "create", "--size", "1", "data")["id"]
    storage = full.cloud.demo.sdk.block_storage
    wait_for(lambda: storage.get_volume(volume).status == "available", 30, "the volume is made")
    full.refuses(0, NO_SPACE, "server", "add", "volume", "full", "data")
    wait_for(lambda: storage.get_volume(volume).status == "available", 30, "the volume is free again")


def test_shelve(full: Full) -> None:
    full.refuses(SCANT, ON_DISK, "server", "shelve", "full")


def test_an_image_of_a_stopped_server(full: Full) -> None:
    full.works("SHUTOFF", "server", "stop", "full")
    full.refuses(8 * MIB, ON_DISK, "server", "image", "create", "--name", "three", "full")
    full.works("SHUTOFF", "server", "image", "create", "--wait", "--name", "three", "full")
    full.works("ACTIVE", "server", "start", "full")


def test_another_image_that_is_larger(full: Full) -> None:
    full.refuses(SCANT, NO_SPACE, "server", "rebuild", "--image", "larger", "full")
    assert full.cloud.ssh(full.server, f"test $(wc -c < kept) = {WRITTEN} && echo kept").strip() == "kept"
    full.works("ACTIVE", "server", "rebuild", "--image", "larger", "full")


def test_nothing_is_left(full: Full) -> None:
    done = full.cloud.kilonova("leaks")
    assert done.returncode == 0, done.stdout
