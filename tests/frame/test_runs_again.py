"""Temporal's Reset of an action that is over, to its beginning: its server rests as it did, nothing is done twice."""

import pytest

from tests.frame.cloud import FrameCloud as Cloud
from tests.frame.test_actions import drop, every_action, state
from tests.workflows.acting import do, server
from tests.workflows.resets import points, reset
from tests.workflows.servers import instance_of
from tests.workflows.ways import WAYS

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.mark.turns
@every_action
@pytest.mark.usefixtures("quick")
async def test_an_action_that_is_over_begins_no_more(cloud: Cloud, name: str) -> None:
    """Mechanism: `begin_action` knows the request, and says that it is over."""
    handle = await server(cloud, name)
    assert await do(cloud, handle, name) is None
    there = cloud.of(instance_of(handle))
    run_id, (beginning, *_) = await points(cloud, handle)
    cloud.faults.arm()
    await reset(cloud, handle, run_id, beginning)
    assert await cloud.end(handle) is None
    assert set(cloud.faults.done) <= {"begin_action"}
    assert (state(cloud, handle), cloud.of(instance_of(handle))) == ((WAYS[name].ends, None), there)
    await drop(cloud, handle)
