"""Requests that begin by themselves: a resize that confirms itself, and any other that follows from an action."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlmodel import col, select
from temporalio.client import WorkflowExecutionStatus

from infra.contracts import patience
from infra.contracts.later import Due
from infra.contracts.requests import DeleteRequest
from infra.starting import Starter, timer_id
from infra.tables.compute import InstanceAction
from tests.frame.cloud import FrameCloud as Cloud
from tests.frame.test_actions import drop, state
from tests.frame.test_resize import asking, ends, held
from tests.workflows.acting import Handle, do, due_of, request, server, stop_due
from tests.workflows.servers import instance_of

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.fixture(autouse=True)
def soon() -> Iterator[None]:
    """A timer looks again at once, not after a minute."""
    was, patience.LATER_LOOKS_EVERY = patience.LATER_LOOKS_EVERY, timedelta(milliseconds=200)
    yield
    patience.LATER_LOOKS_EVERY = was


async def resized(cloud: Cloud, window_s: float) -> tuple[Handle, Handle]:
    """A server that waits for its confirmation, and the timer that will give it."""
    handle = await server(cloud, "resize")
    cloud.faults.arm()
    action, wanted = asking(cloud, handle, confirm_after_s=window_s)
    await cloud.ops.start(action, wanted)
    resizing = cloud.client.get_workflow_handle(handle.id)
    assert await cloud.end(resizing) is None
    return handle, cloud.client.get_workflow_handle(f"later-{instance_of(handle)}-{wanted.requester.request_id}")


async def timer(cloud: Cloud, due: Due) -> Handle:
    await Starter(cloud.client).set_timer(due)
    return cloud.client.get_workflow_handle(timer_id(due))


async def over(timer: Handle) -> None:
    await asyncio.wait_for(timer.result(), 20)


def actions(cloud: Cloud, handle: Handle, name: str) -> list[str | None]:
    """What each of these actions ended with, in their order."""
    mine = select(InstanceAction).where(col(InstanceAction.instance_id) == instance_of(handle))
    with cloud.database.read() as session:
        found = session.exec(mine.order_by(col(InstanceAction.start_time))).all()
        return [each.message for each in found if each.action == name]


async def test_a_resize_confirms_itself(cloud: Cloud) -> None:
    handle, waiting = await resized(cloud, window_s=0.2)
    await over(waiting)
    assert state(cloud, handle) == ("active", None)
    assert (held(cloud, handle), ends(cloud, handle)) == ({"instance": (2, 128)}, ["confirmed"])
    assert actions(cloud, handle, "confirmResize") == [None]
    await drop(cloud, handle)


async def test_a_client_who_was_faster_is_no_harm(cloud: Cloud) -> None:
    handle, waiting = await resized(cloud, window_s=1)
    assert await do(cloud, handle, "confirmResize") is None
    await over(waiting)
    assert actions(cloud, handle, "confirmResize") == [None]
    assert held(cloud, handle) == {"instance": (2, 128)}
    await drop(cloud, handle)


async def test_the_timer_of_a_resize_leaves_a_later_one_alone(cloud: Cloud) -> None:
    handle, waiting = await resized(cloud, window_s=1.5)
    assert await do(cloud, handle, "revertResize") is None
    assert await do(cloud, handle, "resize") is None
    await over(waiting)
    assert (state(cloud, handle), ends(cloud, handle)) == (("resized", None), ["reverted", "finished"])
    await drop(cloud, handle)


async def test_a_confirmation_that_failed_is_tried_again(cloud: Cloud) -> None:
    handle, waiting = await resized(cloud, window_s=0.5)
    cloud.faults.arm(fail_before="confirm_claim", times=2)
    await over(waiting)
    assert actions(cloud, handle, "confirmResize") == ["Error", "Error", None]
    assert state(cloud, handle) == ("active", None)
    await drop(cloud, handle)


async def test_a_timer_waits_for_what_runs(cloud: Cloud) -> None:
    handle = await server(cloud, "os-stop")
    cloud.faults.arm(hold="inject_nmi")
    await cloud.ops.start(*request(cloud, handle, "trigger_crash_dump"))
    await asyncio.wait_for(cloud.faults.held.wait(), 20)
    waiting = await timer(cloud, stop_due(cloud, handle))
    while cloud.faults.ran.count("begin_due") < 2:
        await asyncio.sleep(0.05)
    assert actions(cloud, handle, "stop") == []
    cloud.faults.release.set()
    await over(waiting)
    assert (state(cloud, handle), actions(cloud, handle, "stop")) == (("stopped", None), [None])
    await drop(cloud, handle)


async def test_one_that_comes_too_late_is_refused_where_it_begins(cloud: Cloud) -> None:
    """The timer had looked before; then the state changed, and changed back."""
    handle = await server(cloud, "os-stop")
    due = stop_due(cloud, handle, "req-another")
    await Starter(cloud.client).begin(due)
    error = await cloud.end(handle)
    assert f"Instance {instance_of(handle)} is not what request req-another made it" in str(error)
    assert (state(cloud, handle), actions(cloud, handle, "stop")) == (("active", None), [])
    await drop(cloud, handle)


async def test_a_timer_is_set_once(cloud: Cloud) -> None:
    handle = await server(cloud, "os-stop")
    due = stop_due(cloud, handle, "req-another")
    waiting = await timer(cloud, due)
    await over(waiting)
    first = (await waiting.describe()).run_id
    assert (await (await timer(cloud, due)).describe()).run_id == first
    await drop(cloud, handle)


@pytest.mark.parametrize("cause", ["", "req-another"])
async def test_a_delete_by_a_timer(cloud: Cloud, cause: str) -> None:
    """It goes nowhere when its cause does not hold, and swallows no delete of the tenant's that comes meanwhile."""
    handle = await server(cloud, "os-stop")
    wanted: Any = DeleteRequest(requester=cloud.requester(), instance_id=instance_of(handle))
    due = due_of(cloud, handle, "DeleteInstance", wanted, cause)
    cloud.faults.arm(hold="begin_delete")
    await Starter(cloud.client).begin(due)
    await asyncio.wait_for(cloud.faults.held.wait(), 20)
    if cause:
        await cloud.delete(handle)
    cloud.faults.release.set()
    assert await cloud.end(handle) is None
    assert state(cloud, handle)[0] == "deleted"
    assert await cloud.leaks() == []


async def test_a_delete_whose_cause_is_gone_leaves_the_server(cloud: Cloud) -> None:
    handle = await server(cloud, "os-stop")
    wanted: Any = DeleteRequest(requester=cloud.requester(), instance_id=instance_of(handle))
    await Starter(cloud.client).begin(due_of(cloud, handle, "DeleteInstance", wanted, "req-another"))
    assert await cloud.end(handle) is None
    assert state(cloud, handle) == ("active", None)
    described = await cloud.client.get_workflow_handle(handle.id).describe()
    assert described.status == WorkflowExecutionStatus.COMPLETED
    await drop(cloud, handle)
