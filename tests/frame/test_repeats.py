"""Requests that are sent again, and requests that come while another is at work."""

import asyncio

import pytest

from api.common.errors import ServiceError
from infra.temporal import server_workflow_id
from tests.frame.cloud import FrameCloud
from tests.workflows.acting import request, server

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_refused_request_may_be_sent_again_with_its_key(cloud: FrameCloud) -> None:
    """Mechanism: the second id of the update in Operations.boot; Temporal keeps the first one's refusal."""
    stale = cloud.requester().model_copy(update={"token": "revoked"})
    request = cloud.request(repeatable=True, digest="d1", requester=stale)
    for _ in range(2):
        with pytest.raises(ServiceError) as refused:
            await cloud.ops.boot(request)
        assert refused.value.status == 401
    good = request.model_copy(update={"requester": cloud.requester()})
    first = await cloud.ops.boot(good)
    again = await cloud.ops.boot(good.model_copy(update={"requester": cloud.requester()}))
    assert first == again
    boot = cloud.client.get_workflow_handle(server_workflow_id(request.instance_id))
    assert await cloud.end(boot) is None
    record = cloud.record(boot)
    assert record and record.vm_state == "active"


async def test_an_action_waits_for_a_change_of_a_device(cloud: FrameCloud) -> None:
    """Nova shows no task state while ports or volumes of a server change, and takes a stop meanwhile."""
    handle = await server(cloud, "addSecurityGroup")
    cloud.faults.arm(hold="find_ports")
    change, stop = request(cloud, handle, "addSecurityGroup"), request(cloud, handle, "os-stop")
    first = asyncio.create_task(cloud.ops.start(*change))
    await asyncio.wait_for(cloud.faults.held.wait(), 20)
    second = asyncio.create_task(cloud.ops.start(*stop))
    await asyncio.sleep(0.2)
    assert not second.done(), "it has its turn afterwards"
    cloud.faults.release.set()
    await asyncio.gather(first, second)
    assert await cloud.end(handle) is None
    record = cloud.record(handle)
    assert record and record.vm_state == "stopped"
