"""A store without room: deleting works, new data is refused in words, and the reserve comes back."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.volume.cloud import Cloud, until
from tests.volume.images import ImageServer

SMALL = """
mount -t tmpfs -o size=24m tmpfs $0/volumes
mkdir $0/volumes/.db
cp $0/db/volume.sqlite $0/volumes/.db/
mount --bind $0/volumes/.db $0/db
exec "$@"
"""
"""The store, and the service's own records, on one small file system that only the service sees."""


@pytest.fixture
def small(cloud: Cloud) -> Iterator[Path]:
    """The service on a small disk; the directory as this test reaches it."""
    wrap = ["unshare", "-m", "sh", "-ec", SMALL, str(cloud.settings.state_dir)]
    if os.geteuid() != 0 or subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode:
        pytest.skip("mount namespaces are not allowed here")
    cloud.kill("volume", 15)
    cloud.wrap = wrap
    try:
        cloud.start("volume")
        yield Path(f"/proc/{cloud.processes['volume'].pid}/root{cloud.settings.state_dir}/volumes")
    finally:
        cloud.wrap = []
        cloud.kill("volume", 15)
        cloud.start("volume")


def fill(directory: Path) -> Path:
    """Take every byte that is left, as guests do who write into their volumes."""
    ballast = directory / "guests-data"
    descriptor, size = os.open(ballast, os.O_CREAT | os.O_WRONLY, 0o600), 1 << 16
    while size:
        try:
            os.write(descriptor, b"x" * size)
        except OSError:
            size //= 2
    os.close(descriptor)
    return ballast


def test_deleting_works_on_a_full_disk(cloud: Cloud, small: Path) -> None:
    made = [cloud.volume() for _ in range(4)]
    assert (small / ".reserve").stat().st_blocks, "taken at the start"
    ballast = fill(small)
    codes = [cloud.call("DELETE", f"/volumes/{volume}").status_code for volume in made]
    assert codes == [202] * 4, "issue: 500, twenty-five times"
    until(lambda: {cloud.status(volume) for volume in made} == {"gone"})
    ballast.unlink()
    again = cloud.volume()
    until(lambda: (small / ".reserve").exists() and (small / ".reserve").stat().st_blocks, 40)
    cloud.delete(again)


def test_new_data_stops_at_the_reserve(cloud: Cloud, small: Path, images: ImageServer) -> None:
    image = images.add(os.urandom(22 << 20))
    volume = cloud.ok("POST", "/volumes", {"volume": {"size": 1, "imageRef": image}})["volume"]["id"]
    cloud.settled(volume, "error", 30)
    told = cloud.ok("GET", f"/messages?resource_uuid={volume}")["messages"]
    assert told[0]["user_message"] == "There is no space left on the volume store."
    assert (small / ".reserve").exists() and not list(small.glob("*.part"))
    cloud.delete(volume)
