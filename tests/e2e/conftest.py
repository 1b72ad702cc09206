"""The cloud that the end-to-end tests share. It is theirs alone: a directory and ports of its own.

The directory is a file system where one can be mounted, so that one of the tests can fill it."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from tests.chaos.troubles import small_disk
from tests.e2e.cloud import PREFIX, Cloud
from tests.ports import free_offset

LOOP = Path("/dev/loop-control")
DISK_GIB = 16
"""As many as the flavors of all servers that are there at once need by the scheduler's count, twice."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    missing = [tool for tool in ("libvirtd", "qemu-system-x86_64", "ssh", "virsh") if not shutil.which(tool)]
    if os.geteuid() != 0 or missing:
        for item in items:
            if Path(__file__).parent in item.path.parents:
                item.add_marker(pytest.mark.skip(reason=f"needs root and {', '.join(missing) or 'no more'}"))


@pytest.fixture(scope="package")
def machine(openstack_client: str) -> Iterator[Cloud]:
    """A cloud that is up, with the guest image `cirros`."""
    state_dir = Path(tempfile.mkdtemp(prefix="kilonova-e2e-"))
    try:
        with small_disk(state_dir, DISK_GIB) if LOOP.exists() else nullcontext():
            cloud = Cloud(state_dir, free_offset())
            cloud.admin.program = cloud.demo.program = openstack_client
            cloud.vendor_data.write_text('{"told": "by the operator"}')
            try:
                up = cloud.kilonova("up", seconds=280)
                assert up.returncode == 0, up.stdout + up.stderr
                yield cloud
            finally:
                down = cloud.kilonova("down")
        assert down.returncode == 0, down.stdout
    finally:
        shutil.rmtree(state_dir, ignore_errors=True)


@pytest.fixture(scope="package")
def cloud(machine: Cloud) -> Cloud:
    """The same, prepared as the seeds do it: network, subnet, flavor, key pair. No security group rules yet."""
    admin, demo = machine.admin, machine.demo
    flat = ["--provider-physical-network", "provider", "--provider-network-type", "flat"]
    network = admin("network", "create", "--share", "--external", *flat, "provider")
    assert network["router:external"] is True
    pool = ["--allocation-pool", f"start={PREFIX}.100,end={PREFIX}.200"]
    way = ["--dns-nameserver", f"{PREFIX}.2", "--gateway", f"{PREFIX}.2", "--subnet-range", f"{PREFIX}.0/24"]
    admin("subnet", "create", "--network", "provider", *pool, *way, "provider-subnet")
    image = demo("image", "show", "cirros")
    assert image["status"] == "active"
    ram = str(max(64, image["min_ram"]))
    admin("flavor", "create", "--id", "0", "--vcpus", "1", "--ram", ram, "--disk", "1", "keywa.com")
    subprocess.run(["ssh-keygen", "-q", "-t", "rsa", "-N", "", "-f", str(machine.key)], check=True)
    pair = demo("keypair", "create", "--public-key", f"{machine.key}.pub", "mykey")
    shown = ["ssh-keygen", "-l", "-E", "md5", "-f", f"{machine.key}.pub"]
    assert f"MD5:{pair['fingerprint']}" in subprocess.run(shown, capture_output=True, text=True, check=True).stdout
    return machine
