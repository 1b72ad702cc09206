"""A hard reboot does not wait for what it is to end. Source: Nova's ALLOW_REBOOT."""

import asyncio
from typing import Any

import pytest
from sqlmodel import col, select

from api.common.errors import ServiceError
from infra.tables.compute import ActionEvent
from tests.frame.cloud import FrameCloud as Cloud
from tests.frame.test_actions import drop, state
from tests.workflows.acting import Handle, begun, request, server
from workflows.action import Action
from workflows.actions import ACTIONS

pytestmark = pytest.mark.asyncio(loop_scope="session")


def asked(cloud: Cloud, handle: Handle, kind: str) -> tuple[Action, Any]:
    action, wanted = request(cloud, handle, "reboot")
    body = {"type": kind}
    return action, wanted.model_copy(update={"body": body, "transition": action.transition_for(body)})


async def is_cancelled(cloud: Cloud, handle: Handle) -> bool:
    history = await cloud.client.get_workflow_handle(handle.id).fetch_history()
    return any(e.HasField("workflow_execution_cancel_requested_event_attributes") for e in history.events)


@pytest.mark.parametrize(("name", "step"), [("reboot", "reboot"), ("pause", "pause")])
async def test_a_hard_reboot_ends_what_hangs(cloud: Cloud, name: str, step: str) -> None:
    """Mechanism: `Transition.during`, before whose operations a hard reboot does not stop. They put the server back as
    it was, and say why they ended."""
    handle = await server(cloud, name)
    first = asked(cloud, handle, "SOFT") if name == "reboot" else request(cloud, handle, name)
    cloud.faults.arm(hold=step)
    begun(cloud, first)
    await asyncio.wait_for(cloud.faults.held.wait(), 20)
    assert state(cloud, handle) == ("active", ACTIONS[name].transition.doing)
    with pytest.raises(ServiceError, match="while it is in task_state"):
        await cloud.ops.start(*asked(cloud, handle, "SOFT"))
    hard = begun(cloud, asked(cloud, handle, "HARD"))
    while not await is_cancelled(cloud, handle):
        await asyncio.sleep(0.05)
    cloud.faults.release.set()
    await asyncio.wait_for(hard, 20)
    assert await cloud.end(handle) is None
    assert state(cloud, handle) == ("active", None) and cloud.faults.ran[-1] == "end_action"
    assert "fail_action" in cloud.faults.ran, "the first one ended by itself"
    with cloud.database.read() as session:
        mine = col(ActionEvent.request_id) == first[1].requester.request_id
        told = session.exec(select(ActionEvent).where(mine)).all()
    last = next(event.details for event in told if event.event == "fail_action")
    assert last is not None and last.startswith("The operation was cancelled for a hard reboot during: ")
    await drop(cloud, handle)
