"""The disk of a whole cloud without room, asked by the client: each action that fails says why in its event, leaves the
server as it was and nothing behind, and works once there is room.

The cloud lies on a file system of its own. The guest is a boot sector: all that is asked of it is that it fills its
memory, and that it finds what is on its disk."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.troubles import fill
from tests.e2e import sums
from tests.e2e.cloud import LOOK_S, Cloud, Server, wait_for
from workers.cli.client import ClientFailed

MIB = 1 << 20
SCANT = 20 * MIB
"""Room for a guest's start, not for a copy of what is on its disk."""


@pytest.fixture(scope="module")
def full(cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator["Full"]:
    if not cloud.settings.state_dir.is_mount():
        pytest.skip("file systems cannot be mounted here")
    cloud.admin("flavor", "create", "--id", "full", "--vcpus", "1", "--ram", "96", "--disk", "2", "bigger")
    place = tmp_path_factory.mktemp("images")
    sums.image(place / "sums")
    (place / "larger").write_bytes(os.urandom(sums.SUMMED))
    form = ["--container-format", "bare", "--property", "os_shutdown_timeout=0"]
    for name, kind in (("sums", "qcow2"), ("larger", "raw")):
        cloud.demo("image", "create", *form, "--disk-format", kind, "--file", str(place / name), name)
    booted = ["--image", "sums", "--network", "provider", "--wait"]
    made = cloud.demo("server", "create", "--flavor", "keywa.com", *booted, "full")
    found = Full(cloud, cloud.built(made["id"]))
    found.fill(place)
    yield found
    found.clear()


class Full:
    def __init__(self, cloud: Cloud, server: Server) -> None:
        self.cloud, self.server = cloud, server
        self._filler = cloud.settings.state_dir / "filler"
        self._own = cloud.host.host_dir / "instances" / server.id
        self._kept = sums.NOTHING

    def clear(self) -> None:
        compute, image, storage = (getattr(self.cloud.demo.sdk, name) for name in ("compute", "image", "block_storage"))
        compute.delete_server(self.server.id)
        wait_for(lambda: compute.find_server(self.server.id) is None, 60, "the server is gone")
        for each in image.images():
            if each.name in ("sums", "larger", "one", "three"):
                image.delete_image(each)
        for volume in storage.volumes(name="data"):
            storage.delete_volume(volume)
        self.cloud.admin.sdk.compute.delete_flavor("full")

    def fill(self, place: Path) -> None:
        """The guest has on its disk, from now on, what a copy needs room for; what it tells of that is to stay so."""
        self._boots(([], 0), sums.NOTHING)
        self.works("SHUTOFF", "server", "stop", "full")
        sums.write(self._own / "disk", place)
        guest = self._guest()
        self.works("ACTIVE", "server", "start", "full", boots=False)
        self._kept = wait_for(lambda: self.told()[guest[1] :], 60, "the guest has booted")[0]
        assert self._kept != sums.NOTHING

    def refuses(self, but: int, reason: str, *command: str) -> None:
        """With `but` bytes of room the action fails for this reason, and the server is what it was."""
        status, files, images, guest = self.status(), self._files(), self._images(), self._guest()
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
            self._boots(guest, self._kept)

    def works(self, status: str, *command: str, boots: bool = True, disk: str = "") -> None:
        """The action ends in this status. A guest that `boots` anew finds what it had on its disk, or this."""
        guest = self._guest()
        self.cloud.demo(*command, answers=False)
        self.rests(status)
        if boots:
            self._boots(guest, disk or self._kept)

    def told(self) -> list[str]:
        """By the guest of its disk, at each boot."""
        log = self._own / "console.log"
        return log.read_text(errors="replace").rpartition("\n")[0].split() if log.exists() else []

    def _guest(self) -> tuple[list[int], int]:
        return self.cloud.qemu_pids(self.server.id), len(self.told())

    def _boots(self, before: tuple[list[int], int], disk: str) -> None:
        """Where its process is another, the guest has begun anew, and tells this of its disk."""
        processes, told = before
        if self.cloud.qemu_pids(self.server.id) not in ([], processes):
            assert wait_for(lambda: self.told()[told:], 60, "the guest has booted") == [disk]

    def rests(self, status: str) -> None:
        def there() -> bool:
            shown = self.cloud.admin.get(f"/servers/{self.server.id}")["server"]
            return shown["OS-EXT-STS:task_state"] is None and shown["status"] == status

        wait_for(there, 120, f"the server is {status}", LOOK_S)

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
    full.works("ACTIVE", "server", "resume", "full", boots=False)


def test_a_resize_that_grows(full: Full) -> None:
    full.refuses(SCANT, ON_DISK, "server", "resize", "--flavor", "bigger", "full")
    full.works("VERIFY_RESIZE", "server", "resize", "--flavor", "bigger", "full")
    full.works("ACTIVE", "server", "resize", "revert", "full")


def test_rescue(full: Full) -> None:
    full.refuses(0, NO_SPACE, "server", "rescue", "full")
    full.works("RESCUE", "server", "rescue", "full", disk=sums.NOTHING)
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
    full.works("ACTIVE", "server", "reboot", "--hard", "full")
    full.works("ACTIVE", "server", "rebuild", "--image", "larger", "full", boots=False)


def test_nothing_is_left(full: Full) -> None:
    done = full.cloud.leaks()
    assert done.returncode == 0, done.stdout
