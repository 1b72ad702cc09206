"""Servers that are deleted softly: they hold all they had, and go when their time is over, unless they are restored."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from activities import step
from api.common.errors import ServiceError
from infra.stores import usage
from infra.tables.compute import Instance
from tests.frame.cloud import FrameCloud as Cloud
from tests.frame.test_actions import drop, state
from tests.frame.test_resize import held
from tests.workflows.acting import LONG_S, Handle, do, request, server
from tests.workflows.servers import instance_of

pytestmark = pytest.mark.asyncio(loop_scope="session")
GONE = ("deleted", None)
SOFT = ("soft-delete", None)


async def softly(cloud: Cloud, handle: Handle, after_s: float = LONG_S, **faults: Any) -> None:
    cloud.faults.arm(**faults)
    await cloud.delete(handle, reclaim_after_s=after_s)
    assert await cloud.end(handle) is None


async def until_gone(cloud: Cloud, handle: Handle) -> None:
    for _ in range(400):
        if state(cloud, handle) == GONE:
            break
        await asyncio.sleep(0.05)
    assert state(cloud, handle) == GONE and await cloud.end(handle) is None
    assert await cloud.leaks() == []


async def test_it_keeps_all_it_holds_and_does_not_count(cloud: Cloud) -> None:
    handle = await server(cloud, "os-stop")
    before, claims = cloud.things.things(), held(cloud, handle)
    with cloud.database.read() as session:
        used = usage.used(session, cloud.project)["instances"]
    await softly(cloud, handle)
    assert state(cloud, handle) == SOFT and cloud.things.power[instance_of(handle)] == 4
    assert (cloud.things.things(), held(cloud, handle)) == (before, claims)
    with cloud.database.read() as session:
        assert usage.used(session, cloud.project)["instances"] == used - 1
    with pytest.raises(ServiceError, match="while it is in vm_state soft-delete"):
        await cloud.ops.start(*request(cloud, handle, "os-stop"))
    await cloud.end(handle)
    assert await do(cloud, handle, "restore") is None
    assert state(cloud, handle) == ("active", None) and cloud.things.power[instance_of(handle)] == 1
    await drop(cloud, handle)


async def test_volumes_come_and_go_meanwhile(cloud: Cloud) -> None:
    handle = await server(cloud, "os-stop")
    before = cloud.things.things()
    await softly(cloud, handle)
    assert await do(cloud, handle, "attach_volume") is None and state(cloud, handle) == SOFT
    assert await do(cloud, handle, "detach_volume") is None and state(cloud, handle) == SOFT
    assert cloud.things.things() == before
    assert await do(cloud, handle, "attach_volume") is None
    await cloud.delete(handle)
    await until_gone(cloud, handle)


async def test_its_time_comes(cloud: Cloud) -> None:
    handle = await server(cloud, "os-stop")
    await softly(cloud, handle, after_s=0.3)
    await until_gone(cloud, handle)


async def test_a_restored_one_is_not_reclaimed(cloud: Cloud) -> None:
    handle = await server(cloud, "os-stop")
    await softly(cloud, handle, after_s=1.0)
    assert await do(cloud, handle, "restore") is None
    await asyncio.sleep(1.2)
    assert state(cloud, handle) == ("active", None)
    await drop(cloud, handle)


async def test_over_quota_it_is_not_restored(cloud: Cloud) -> None:
    handle = await server(cloud, "restore")
    action, wanted = request(cloud, handle, "restore")
    cloud.faults.arm()
    with pytest.raises(ServiceError, match="Quota exceeded for instances: Requested 1") as refused:
        await cloud.ops.start(action, wanted.model_copy(update={"body": {"quota": {"instances": 0}}}))
    assert refused.value.status == 403 and await cloud.end(handle) is not None
    assert state(cloud, handle) == SOFT
    await drop(cloud, handle)


async def test_what_cannot_be_restored_is_deleted_at_once(cloud: Cloud) -> None:
    for before in ("confirmResize", "unrescue", "unshelve"):
        handle = await server(cloud, before)
        await softly(cloud, handle)
        assert state(cloud, handle) == GONE and await cloud.leaks() == [], before
    handle = await cloud.boot(fail_after="spawn")
    assert await cloud.end(handle) is not None
    await softly(cloud, handle)
    assert state(cloud, handle) == GONE and await cloud.leaks() == []


async def test_while_an_action_runs_it_is_undone_first(cloud: Cloud) -> None:
    handle = await server(cloud, "rebuild")
    before = cloud.things.things()
    cloud.faults.arm(hold="spawn")
    await cloud.ops.start(*request(cloud, handle, "rebuild"))
    await asyncio.wait_for(cloud.faults.held.wait(), 20)
    await cloud.delete(handle, reclaim_after_s=LONG_S)
    cloud.faults.release.set()
    assert await cloud.end(handle) is None
    assert state(cloud, handle) == SOFT and cloud.things.things() == before
    await drop(cloud, handle)


@pytest.mark.parametrize("hold", ["power_off", "pause"])
async def test_a_delete_for_good_meanwhile_is_one(cloud: Cloud, hold: str) -> None:
    """While it is being stopped, and while what ran before is being undone."""
    handle = await server(cloud, "os-stop")
    cloud.faults.arm(hold=hold)
    if hold == "pause":
        await cloud.ops.start(*request(cloud, handle, "pause"))
        await asyncio.wait_for(cloud.faults.held.wait(), 20)
    await cloud.delete(handle, reclaim_after_s=LONG_S)
    await asyncio.wait_for(cloud.faults.held.wait(), 20)
    await cloud.delete(handle, reclaim_after_s=LONG_S)
    await cloud.delete(handle)
    cloud.faults.release.set()
    assert await cloud.end(handle) is None
    assert state(cloud, handle) == GONE and await cloud.leaks() == []


async def test_a_guest_that_cannot_be_stopped_is_deleted_softly_all_the_same(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step, "HEARTBEAT", timedelta(seconds=2))
    handle = await server(cloud, "os-stop")
    await softly(cloud, handle, fail_before="power_off")
    assert state(cloud, handle) == SOFT
    host = str(cloud.record(handle).host)  # type: ignore[union-attr]
    assert await do(cloud, handle, "restore") is None
    cloud.silence(host)
    await softly(cloud, handle, hold="power_off")
    assert state(cloud, handle) == SOFT
    cloud.silence()
    cloud.faults.release.set()
    await drop(cloud, handle)


@pytest.mark.parametrize("step", ["begin_delete", "finish_delete", "set_timer"])
async def test_every_record_step_may_run_twice(cloud: Cloud, step: str) -> None:
    handle = await server(cloud, "os-stop")
    await softly(cloud, handle, after_s=0.3, fail_after=step, kind="Transient", times=1)
    await until_gone(cloud, handle)
    with cloud.database.read() as session:
        assert session.get_one(Instance, instance_of(handle)).deleted_at is not None
