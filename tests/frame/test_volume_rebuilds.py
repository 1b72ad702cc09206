"""rebuild of a server that boots from a volume: before the volume is written a failure puts the server back, from then
on it is in ERROR with the reason, and may be rebuilt once more."""

from typing import Any

import pytest

from infra.contracts.operation import ActionRequest
from infra.tables.compute import Instance
from tests.frame.cloud import FrameCloud as Cloud
from tests.frame.test_actions import drop, state
from tests.workflows.acting import Handle, delete_at, do, of_a_volume, request
from tests.workflows.servers import instance_of
from tests.workflows.ways import WAYS
from workflows.action import Action

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.usefixtures("quick")]
IMAGE = str(WAYS["rebuild"].body["image_id"])
BEFORE = ("fetch_guest", "require_attachments", "power_off")
WRITING = ("part_volumes", "reimage_volume", "set_aside", "plug_ports", "attach_volumes", "spawn")


def volume_of(cloud: Cloud, handle: Handle) -> str:
    record = cloud.record(handle)
    assert isinstance(record, Instance)
    return str(record.volumes[0]["volume_id"])


def asking(cloud: Cloud, handle: Handle, **more: Any) -> tuple[Action, ActionRequest]:
    action, wanted = request(cloud, handle, "rebuild")
    body = {**wanted.body, "volume_id": volume_of(cloud, handle), **more}
    return action, wanted.model_copy(update={"body": body})


async def rebuild(cloud: Cloud, handle: Handle, *, volume_id: str | None = None, **faults: Any) -> BaseException | None:
    cloud.faults.arm(**faults)
    await cloud.ops.start(*asking(cloud, handle, **({} if volume_id is None else {"volume_id": volume_id})))
    return await cloud.end(handle)


async def test_its_volume_is_written_while_no_host_has_it_each_step_may_run_twice(cloud: Cloud) -> None:
    handle = await of_a_volume(cloud)
    assert await rebuild(cloud, handle, run_twice=True) is None
    ran = cloud.faults.done
    assert ran[:7] == ["begin_action", *BEFORE, *WRITING[:3]] and ran[-3:] == ["spawn", "end_action", "forget_aside"]
    assert set(ran) == {"begin_action", *BEFORE, *WRITING, "end_action", "forget_aside"}
    assert cloud.things.written[volume_of(cloud, handle)] == IMAGE
    record = cloud.record(handle)
    assert record and (record.image_ref, record.name, record.vm_state) == ("", "anew", "active")
    await drop(cloud, handle)


async def test_a_server_that_is_off_stays_off(cloud: Cloud) -> None:
    handle = await of_a_volume(cloud)
    assert await do(cloud, handle, "os-stop") is None
    assert await rebuild(cloud, handle) is None
    assert state(cloud, handle) == ("stopped", None) and cloud.things.power[instance_of(handle)] == 4
    cloud.faults.arm()
    assert "injected at fetch_guest" in str(await rebuild(cloud, handle, fail_after="fetch_guest", times=1))
    assert state(cloud, handle) == ("stopped", None)
    await drop(cloud, handle)


async def test_before_2_93_the_volume_stays_as_it_is(cloud: Cloud) -> None:
    handle = await of_a_volume(cloud)
    assert "injected at spawn" in str(await rebuild(cloud, handle, volume_id="", fail_after="spawn", times=1))
    assert state(cloud, handle) == ("active", None) and cloud.things.power[instance_of(handle)] == 1
    assert await rebuild(cloud, handle, volume_id="", run_twice=True) is None
    assert "reimage_volume" not in cloud.faults.ran and volume_of(cloud, handle) not in cloud.things.written
    assert "kept for rebuild" not in {kind for _, kind, id, _ in cloud.things.things() if id == instance_of(handle)}
    await drop(cloud, handle)


@pytest.mark.parametrize("when", ["fail_before", "fail_after"])
async def test_a_failure_says_whether_the_volume_is_lost(cloud: Cloud, when: str) -> None:
    handle = await of_a_volume(cloud)
    for step in BEFORE:
        assert f"injected at {step}" in str(await rebuild(cloud, handle, **{when: step}, times=1))
        assert state(cloud, handle) == ("active", None), step
        assert cloud.things.power[instance_of(handle)] == 1, step
    for step in WRITING:
        assert f"injected at {step}" in str(await rebuild(cloud, handle, **{when: step}, times=1))
        assert state(cloud, handle) == ("error", None), step
        record = cloud.record(handle)
        assert record and f"injected at {step}" in (record.fault or {})["message"]
    assert await rebuild(cloud, handle) is None, "and once more"
    assert state(cloud, handle) == ("active", None)
    assert (instance_of(handle), volume_of(cloud, handle)) not in cloud.things.parted, "its host has it again"
    await drop(cloud, handle)


async def test_a_delete_meanwhile_gets_through(cloud: Cloud) -> None:
    for step in (*BEFORE, *WRITING, "end_action"):
        handle = await of_a_volume(cloud)
        await delete_at(cloud, handle, step, asking(cloud, handle))
        assert await cloud.leaks() == [], step
