"""Ephemeral and swap disks of servers: counted in the host's claim, changed by a resize, gone with the guest."""

import pytest
from sqlmodel import col, select

from infra.contracts.local_disks import LocalDisk
from infra.tables.compute import Allocation, Flavor
from tests.frame.cloud import FrameCloud
from tests.frame.test_actions import drop
from tests.frame.test_resize import resized, row
from tests.workflows.acting import Handle, do
from tests.workflows.servers import instance_of

pytestmark = pytest.mark.asyncio(loop_scope="session")
SWAP = LocalDisk(kind="swap", size_mb=1, device="vdb")
EPHEMERAL = LocalDisk(kind="ephemeral", size_mb=2048, guest_format="vfat", device="vdc")


def gib(cloud: FrameCloud, handle: Handle) -> list[int]:
    """Of each claim, the smallest first."""
    with cloud.database.read() as session:
        found = session.exec(select(Allocation).where(col(Allocation.instance_id) == instance_of(handle))).all()
        return sorted(claim.disk_gb for claim in found)


def files(cloud: FrameCloud, handle: Handle) -> list[str]:
    host = cloud.things.here[row(cloud, handle).host or ""]
    return sorted(what for kind, id, what in host if (kind, id) == ("local disk", instance_of(handle)))


async def test_they_are_counted_rounded_up(cloud: FrameCloud) -> None:
    """Source: Nova's DISK_GB is root and ephemeral, and swap in whole GiB."""
    with cloud.database.write() as session:
        session.add(Flavor(id="roomy", name="roomy", ram=1, vcpus=1, disk=3, ephemeral=2, swap=1025))
    handle = await cloud.boot(cloud.request(flavor_id="roomy", local_disks=[EPHEMERAL, SWAP]))
    assert await cloud.end(handle) is None
    assert gib(cloud, handle) == [3 + 2 + 2] and files(cloud, handle) == ["disk.eph0", "disk.swap"]
    await drop(cloud, handle)


async def test_a_root_disk_that_lies_in_a_volume_is_on_no_host(cloud: FrameCloud) -> None:
    """Source: `resources_from_flavor` of Nova's scheduler."""
    with cloud.database.write() as session:
        session.add(Flavor(id="deep", name="deep", ram=1, vcpus=1, disk=50, ephemeral=2, swap=1))
    handle = await cloud.boot(cloud.request(image_id="", flavor_id="deep", local_disks=[EPHEMERAL, SWAP]))
    assert await cloud.end(handle) is None
    assert gib(cloud, handle) == [2 + 1]
    deeper = {"id": "deeper", "name": "deeper", "vcpus": 1, "ram": 64, "disk": 70, "ephemeral": 4, "swap": 1}
    await resized(cloud, handle, flavor=deeper, local_disks=[EPHEMERAL.model_dump(), SWAP.model_dump()])
    assert gib(cloud, handle) == [2 + 1, 4 + 1]
    assert await do(cloud, handle, "revertResize") is None
    assert gib(cloud, handle) == [2 + 1]
    await drop(cloud, handle)


@pytest.mark.parametrize("choice", ["confirmResize", "revertResize"])
async def test_a_resize_changes_them_and_its_way_back_undoes_that(cloud: FrameCloud, choice: str) -> None:
    handle = await cloud.boot(cloud.request(local_disks=[SWAP]))
    assert await cloud.end(handle) is None and files(cloud, handle) == ["disk.swap"]
    bigger = {"id": "eph", "name": "eph", "vcpus": 1, "ram": 64, "ephemeral": 2, "swap": 1}
    await resized(cloud, handle, flavor=bigger, local_disks=[EPHEMERAL.model_dump(), SWAP.model_dump()])
    assert gib(cloud, handle) == [0, 3] and files(cloud, handle) == ["disk.eph0", "disk.swap"]
    assert [disk["device"] for disk in row(cloud, handle).local_disks] == ["vdc", "vdb"]
    assert await do(cloud, handle, choice) is None
    kept = [3] if choice == "confirmResize" else [0]
    assert gib(cloud, handle) == kept
    assert len(row(cloud, handle).local_disks) == (2 if choice == "confirmResize" else 1)
    await drop(cloud, handle)


async def test_a_volume_takes_no_name_of_theirs(cloud: FrameCloud) -> None:
    handle = await cloud.boot(cloud.request(local_disks=[EPHEMERAL]))
    assert await cloud.end(handle) is None
    assert await do(cloud, handle, "attach_volume") is None
    assert [volume["device"] for volume in row(cloud, handle).volumes] == ["vdb", "vdd"]
    await drop(cloud, handle)
