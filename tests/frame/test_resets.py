"""What an administrator's os-resetState does to an operation that runs: it is cancelled, and undoes itself first."""

import asyncio

import pytest
from temporalio.api.enums.v1 import EventType

from api.common.errors import ServiceError
from api.compute import operations
from tests.frame.cloud import FrameCloud as Cloud
from tests.frame.test_actions import drop, state
from tests.workflows.acting import server, starting
from tests.workflows.servers import instance_of
from workflows.requests import GivenUp

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_what_runs_is_undone_before_it_returns(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    handle = await server(cloud, "resize")
    cloud.faults.arm(hold="reshape")
    starting(cloud, handle, "resize")
    await asyncio.wait_for(cloud.faults.held.wait(), 20)
    monkeypatch.setattr(operations, "GIVE_UP_S", 0.1)
    with pytest.raises(ServiceError, match="is being undone; ask again") as refused:
        await cloud.ops.give_up(instance_of(handle), GivenUp.RESET)
    assert refused.value.status == 409
    monkeypatch.setattr(operations, "GIVE_UP_S", 60.0)
    again = asyncio.create_task(cloud.ops.give_up(instance_of(handle), GivenUp.RESET))
    await cloud.seen(handle, EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED)
    cloud.faults.release.set()
    await again
    assert state(cloud, handle) == ("active", None)
    await cloud.ops.give_up(instance_of(handle), GivenUp.RESET)
    await drop(cloud, handle)
