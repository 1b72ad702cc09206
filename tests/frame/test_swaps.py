"""swap_volume: the server has the old volume until its guest goes on with the new one, and that from then on."""

import asyncio
from typing import Any

import pytest

from api.common.errors import ServiceError
from infra.tables.compute import Instance
from tests.frame.cloud import FrameCloud as Cloud
from tests.frame.test_actions import drop, state
from tests.workflows.acting import Handle, request, server, starting
from tests.workflows.servers import instance_of
from tests.workflows.ways import WAYS

pytestmark = pytest.mark.asyncio(loop_scope="session")
OLD, NEW = (str(WAYS["swap_volume"].body[name]) for name in ("volume_id", "new_volume_id"))


def volumes(cloud: Cloud, handle: Handle) -> dict[str, str | None]:
    """Volume → device, of those that the tenant attached, as the record has them."""
    record = cloud.record(handle)
    assert isinstance(record, Instance)
    return {v["volume_id"]: v["device"] for v in record.volumes if v["volume_id"] in (OLD, NEW)}


def on_disk(cloud: Cloud, handle: Handle) -> str:
    return cloud.things.disks.get((instance_of(handle), "vdb"), OLD)


async def swap(cloud: Cloud, handle: Handle, more: dict[str, Any] | None = None, **faults: Any) -> BaseException | None:
    action, wanted = request(cloud, handle, "swap_volume")
    cloud.faults.arm(**faults)
    await cloud.ops.start(action, wanted.model_copy(update={"body": {**wanted.body, **(more or {})}}))
    return await cloud.end(handle)


def attached(cloud: Cloud, handle: Handle) -> int:
    return len([t for t in cloud.things.anywhere if t[:2] == ("attachment", instance_of(handle))])


async def test_it_takes_the_place_and_the_old_one_is_given_back(cloud: Cloud) -> None:
    handle = await server(cloud, "swap_volume")
    before, device = attached(cloud, handle), volumes(cloud, handle)[OLD]
    assert await swap(cloud, handle, {"delete_on_termination": True}) is None
    ran = cloud.faults.done
    grows = ["look_at_volume", "grow_disk"]
    assert ran == ["begin_action", *["attach_volumes"] * 2, "swap_disk", "detach_volumes", *grows, "end_action"]
    assert cloud.things.sizes[NEW] == 2, "the guest was told of a volume that is larger"
    assert (volumes(cloud, handle), on_disk(cloud, handle)) == ({NEW: device}, NEW)
    record = cloud.record(handle)
    assert record and record.volumes[-1]["delete_on_termination"] and attached(cloud, handle) == before
    for more, words in (({}, f"Device Mapping with id {OLD}"), ({"volume_id": NEW}, f"volume {NEW} already attached")):
        with pytest.raises(ServiceError, match=words):
            await swap(cloud, handle, more)
        await cloud.end(handle)
    await drop(cloud, handle)


@pytest.mark.parametrize("when", ["fail_before", "fail_after"])
async def test_a_failure_leaves_it_with_what_its_guest_has(cloud: Cloud, when: str) -> None:
    handle = await server(cloud, "swap_volume")
    before = volumes(cloud, handle)
    for step in ("attach_volumes", "swap_disk"):
        assert f"injected at {step}" in str(await swap(cloud, handle, **{when: step}, times=1))
        assert (volumes(cloud, handle), on_disk(cloud, handle)) == (before, OLD), step
        assert NEW not in str(cloud.things.anywhere) and state(cloud, handle) == ("active", None)
    assert "injected at detach_volumes" in str(await swap(cloud, handle, **{when: "detach_volumes"}, times=1))
    assert (volumes(cloud, handle), on_disk(cloud, handle)) == ({OLD: None, NEW: before[OLD]}, NEW)
    action, wanted = request(cloud, handle, "detach_volume")
    cloud.faults.arm()
    await cloud.ops.start(action, wanted)
    assert await cloud.end(handle) is None
    assert (volumes(cloud, handle), on_disk(cloud, handle)) == ({NEW: before[OLD]}, NEW), "and given back later"
    await drop(cloud, handle)
    for step in ("grow_disk", "end_action"):
        handle = await server(cloud, "swap_volume")
        assert f"injected at {step}" in str(await swap(cloud, handle, **{when: step}, times=1))
        assert (volumes(cloud, handle), on_disk(cloud, handle)) == ({NEW: before[OLD]}, NEW)
        await drop(cloud, handle)


async def test_a_delete_while_the_copy_is_made_frees_both(cloud: Cloud) -> None:
    for step in ("swap_disk", "detach_volumes"):
        handle = await server(cloud, "swap_volume")
        cloud.faults.arm(hold=step)
        starting(cloud, handle, "swap_volume")
        await asyncio.wait_for(cloud.faults.held.wait(), 20)
        await cloud.delete(handle)
        cloud.faults.release.set()
        assert await cloud.end(handle) is None, step
        assert await cloud.leaks() == [], step


@pytest.mark.parametrize("name", ["swap_volume", "detach_volume"])
async def test_what_was_made_for_a_server_and_given_back_outlives_it(cloud: Cloud, name: str) -> None:
    """By its mark the audit would remove it, with what the tenant kept on it."""
    handle = await server(cloud, name)
    record = cloud.record(handle)
    assert isinstance(record, Instance)
    made = record.volumes[0]["volume_id"]
    action, wanted = request(cloud, handle, name)
    asked = wanted.model_copy(update={"body": {**wanted.body, "volume_id": made}})
    cloud.faults.arm(fail_before="detach_volumes", times=1)
    await cloud.ops.start(action, asked)
    assert "injected at detach_volumes" in str(await cloud.end(handle))
    if name == "detach_volume":
        assert cloud.things.marks[made] is True, "it is the server's still"
        cloud.faults.arm()
        again = asked.model_copy(update={"requester": cloud.requester()})
        await cloud.ops.start(action, again)
        assert await cloud.end(handle) is None
    assert cloud.things.marks[made] is False
    cloud.things.anywhere.discard(("volume", instance_of(handle), made))  # nobody's but the tenant's
    await drop(cloud, handle)
