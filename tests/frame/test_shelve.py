"""Shelved servers: what they leave behind when they leave their host, and where they come back."""

import asyncio
from typing import Any

import pytest
from sqlmodel import col, select

from infra.tables.compute import Allocation, Instance
from tests.frame.cloud import FrameCloud as Cloud
from tests.frame.test_actions import drop, state
from tests.workflows.acting import Handle, do, request, server
from tests.workflows.servers import HOSTS, instance_of

pytestmark = pytest.mark.asyncio(loop_scope="session")
OFFLOADED = ("shelved_offloaded", None)


def row(cloud: Cloud, handle: Handle) -> Instance:
    found = cloud.record(handle)
    assert found is not None
    return found


def of_server(cloud: Cloud, handle: Handle) -> dict[str, set[str]]:
    """Kind of thing → the hosts that it is on ("" for other services)."""
    found: dict[str, set[str]] = {}
    for host, kind, instance_id, _ in cloud.things.things():
        if instance_id == instance_of(handle):
            found.setdefault(kind, set()).add(host)
    return found


def held(cloud: Cloud, handle: Handle) -> list[str]:
    with cloud.database.read() as session:
        mine = select(Allocation.host).where(col(Allocation.instance_id) == instance_of(handle))
        return list(session.exec(mine).all())


async def shelve(cloud: Cloud, handle: Handle, **body: Any) -> Handle:
    """Shelved; the timer of what follows."""
    action, wanted = request(cloud, handle, "shelve")
    wanted = wanted.model_copy(update={"body": {**wanted.body, **body}})
    cloud.faults.arm()
    await cloud.ops.start(action, wanted)
    assert await cloud.end(handle) is None
    return cloud.client.get_workflow_handle(f"later-{instance_of(handle)}-{wanted.requester.request_id}")


async def unshelve(cloud: Cloud, handle: Handle, body: dict[str, Any] | None = None, **faults: Any) -> Any:
    action, wanted = request(cloud, handle, "unshelve")
    cloud.faults.arm(**faults)
    await cloud.ops.start(action, wanted.model_copy(update={"body": body or {}}))
    return await cloud.end(handle)


async def until_offloaded(cloud: Cloud, handle: Handle) -> None:
    for _ in range(400):
        if state(cloud, handle) == OFFLOADED:
            break
        await asyncio.sleep(0.05)
    assert state(cloud, handle) == OFFLOADED
    assert await cloud.end(handle) is None


async def test_it_leaves_its_host_by_itself_and_keeps_what_it_needs(cloud: Cloud) -> None:
    handle = await server(cloud, "shelve")
    await shelve(cloud, handle, offload_after_s=0)
    await until_offloaded(cloud, handle)
    assert set(of_server(cloud, handle)) == {"port", "attachment", "volume", "shelved image"}
    assert (row(cloud, handle).host, held(cloud, handle)) == (None, [])
    assert await unshelve(cloud, handle) is None
    now = row(cloud, handle)
    assert (now.vm_state, now.power_state) == ("active", 1) and held(cloud, handle) == [now.host]
    things = of_server(cloud, handle)
    assert "shelved image" not in things and things["domain"] == things["disk"] == things["tap"] == {now.host}
    await drop(cloud, handle)


@pytest.mark.parametrize("before", ["pause", "suspend", "os-stop"])
async def test_from_every_state(cloud: Cloud, before: str) -> None:
    """Nothing is lost that the guest has in memory before all else is done."""
    handle = await server(cloud, before)
    assert await do(cloud, handle, before) is None
    was = state(cloud, handle)
    assert await do(cloud, handle, "shelve", fail_before="upload_snapshot", times=1) is not None
    power = cloud.things.power[instance_of(handle)]
    assert state(cloud, handle) == was and power == row(cloud, handle).power_state
    await shelve(cloud, handle)
    assert (cloud.things.power[instance_of(handle)], row(cloud, handle).power_state) == (4, 4)
    assert await unshelve(cloud, handle) is None
    assert (state(cloud, handle), cloud.things.power[instance_of(handle)]) == (("active", None), 1)
    assert "shelved image" not in of_server(cloud, handle)
    await drop(cloud, handle)


async def test_one_that_boots_from_a_volume_has_no_image(cloud: Cloud) -> None:
    handle = await cloud.boot(cloud.request(image_id=""))
    assert await cloud.end(handle) is None
    await shelve(cloud, handle, offload_after_s=0)
    await until_offloaded(cloud, handle)
    assert set(of_server(cloud, handle)) == {"port", "attachment", "volume"}
    assert await unshelve(cloud, handle) is None
    assert "disk" not in of_server(cloud, handle)
    await drop(cloud, handle)


async def test_without_a_place_it_stays_in_its_image(cloud: Cloud) -> None:
    handle = await server(cloud, "unshelve")
    before = of_server(cloud, handle)
    for body in ({"zone": "nowhere"}, {"host": "node9"}):
        assert "No valid host was found" in str(await unshelve(cloud, handle, body))
    assert "injected" in str(await unshelve(cloud, handle, fail_after="spawn", times=1))
    assert (state(cloud, handle), row(cloud, handle).host, held(cloud, handle)) == (OFFLOADED, None, [])
    assert of_server(cloud, handle) == before
    zone = {"availability_zone": "nova", "pinned_zone": "nova"}
    assert await unshelve(cloud, handle, {"host": HOSTS[1], "columns": zone}) is None
    assert (row(cloud, handle).host, row(cloud, handle).pinned_zone) == (HOSTS[1], "nova")
    await drop(cloud, handle)


async def test_what_one_host_cannot_another_may(cloud: Cloud) -> None:
    """As a build does; the host that could not keeps nothing of it, and a delete of what came of it frees all."""
    handle = await server(cloud, "unshelve")
    before = of_server(cloud, handle)
    assert await unshelve(cloud, handle, fail_after="spawn", kind="HostCannot", times=1) is None
    assert [step for step in cloud.faults.ran if step in ("claim_host", "spawn", "destroy")] == [
        "claim_host",
        "spawn",
        "destroy",
        "claim_host",
        "spawn",
    ]
    things, there = of_server(cloud, handle), row(cloud, handle).host
    assert things["domain"] == things["disk"] == things["tap"] == {there} and held(cloud, handle) == [there]
    assert await do(cloud, handle, "shelve") is None and await do(cloud, handle, "shelveOffload") is None
    error = str(await unshelve(cloud, handle, fail_after="spawn", kind="HostCannot"))
    assert "No valid host was found" in error and "injected at spawn" in error
    assert (state(cloud, handle), of_server(cloud, handle)) == (OFFLOADED, before)
    error = str(await unshelve(cloud, handle, {"host": HOSTS[0]}, fail_after="spawn", kind="HostCannot"))
    assert "No valid host was found" in error, "no other than the one asked for"
    await drop(cloud, handle)


async def test_another_zone_or_none_becomes_its_own(cloud: Cloud) -> None:
    handle = await server(cloud, "unshelve")
    with cloud.database.write() as session:
        session.get_one(Instance, instance_of(handle)).pinned_zone = "nova"
    free = {"availability_zone": None, "pinned_zone": None}
    assert await unshelve(cloud, handle, {"columns": free}) is None
    assert row(cloud, handle).pinned_zone is None
    await drop(cloud, handle)


async def test_without_its_image_it_does_not_leave(cloud: Cloud) -> None:
    handle = await server(cloud, "shelveOffload")
    error = await do(cloud, handle, "shelveOffload", fail_before="require_image")
    assert "injected" in str(error) and state(cloud, handle) == ("shelved", None)
    assert {"domain", "disk"} <= set(of_server(cloud, handle))
    await drop(cloud, handle)


@pytest.mark.parametrize("goes", [False, True])
async def test_volumes_come_and_go_while_it_is_on_no_host(cloud: Cloud, goes: bool) -> None:
    """Mechanism: without a host the volume service alone is told; unshelved, the guest has what the record says."""
    handle = await server(cloud, "shelveOffload")
    assert await do(cloud, handle, "shelveOffload") is None and state(cloud, handle) == OFFLOADED
    before = of_server(cloud, handle)
    fails = await do(cloud, handle, "attach_volume", fail_after="reserve_named")
    assert fails is not None and of_server(cloud, handle) == before and state(cloud, handle) == OFFLOADED
    assert await do(cloud, handle, "attach_volume") is None
    assert state(cloud, handle) == OFFLOADED
    made = row(cloud, handle).volumes
    assert made is not None and made[-1]["device"] is None and of_server(cloud, handle)["attachment"] == {""}
    assert made[-1]["attachment_id"] in cloud.things.in_use
    if goes:  # as one that was made for the server
        with cloud.database.write() as session:
            found = session.get(Instance, instance_of(handle))
            assert found is not None and found.volumes
            found.volumes = [*found.volumes[:-1], {**found.volumes[-1], "create": True, "delete_on_termination": True}]
            session.add(found)
    assert await do(cloud, handle, "detach_volume") is None
    assert of_server(cloud, handle) == before and len(row(cloud, handle).volumes or []) == len(made) - 1
    assert ("mark_volume" in cloud.faults.ran) == goes
    assert await do(cloud, handle, "attach_volume") is None and await unshelve(cloud, handle) is None
    assert state(cloud, handle) == ("active", None)
    devices = [volume["device"] for volume in row(cloud, handle).volumes or []]
    assert len(devices) == len(made) and None not in devices and len(set(devices)) == len(devices)
    await drop(cloud, handle)
    assert of_server(cloud, handle) == {}
