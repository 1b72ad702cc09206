"""Images that strangers made: what names files of the host is refused, and tools that read it can do nothing else."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.volume.cloud import Cloud, io
from tests.volume.images import ImageServer

VMDK = b"""# Disk DescriptorFile
version=1
CID=fffffffe
parentCID=ffffffff
createType="monolithicFlat"
RW 2048 FLAT "/etc/passwd" 0
"""


@pytest.mark.parametrize("container", ["bare", "ovf", "docker"])
def test_a_descriptor_that_names_host_files_is_refused_in_any_container(
    cloud: Cloud, images: ImageServer, container: str
) -> None:
    """Issue: such an image, in a container that nobody inspected, opened files of the host and blocked all copies."""
    image = images.add(VMDK, disk_format="vmdk", container_format=container)
    volume = cloud.ok("POST", "/volumes", {"volume": {"size": 1, "imageRef": image}})["volume"]["id"]
    cloud.settled(volume, "error")
    told = json.dumps(cloud.ok("GET", f"/messages?resource_uuid={volume}"))
    assert "format" in told or "not safe" in told
    cloud.delete(volume)


def test_tools_run_without_privileges(cloud: Cloud, images: ImageServer, tmp_path: Path) -> None:
    """What the conversion of a stranger's image makes belongs to a user who can do nothing else."""
    if os.geteuid() != 0:
        pytest.skip("only root gives work to another user")
    file = tmp_path / "guest.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(file), "64M"], check=True)
    made = cloud.ok("POST", "/volumes", {"volume": {"size": 1, "imageRef": images.add(file.read_bytes())}})["volume"]
    cloud.settled(made["id"], "available")
    assert cloud.file(made["id"]).stat().st_uid != 0
    assert io(str(cloud.file(made["id"])), "read -P 0 0 64M", read_only=True)
