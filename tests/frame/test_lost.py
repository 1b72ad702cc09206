"""An operation that is lost without an end, as when somebody terminates its workflow: what its record says is mended,
and a guest that ran is not touched."""

import asyncio

import pytest

from activities.auditing.compare import repairable
from activities.auditing.plan import plan
from activities.auditing.states import stuck
from infra.contracts.audit import World
from infra.stores.audited import AuditedRecords
from infra.tables.compute import InstanceAction
from tests.frame.cloud import FrameCloud
from tests.workflows.acting import do, request, server
from tests.workflows.servers import instance_of

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_server_whose_action_is_lost_keeps_its_guest(cloud: FrameCloud) -> None:
    """Mechanism: `lost` of infra.contracts.states. The repair undid the server as a whole, its disk included."""
    handle = await server(cloud, "pause")
    cloud.faults.arm(hold="pause")
    action, wanted = request(cloud, handle, "pause")
    await cloud.ops.start(action, wanted)
    await asyncio.wait_for(cloud.faults.held.wait(), 20)
    await cloud.client.get_workflow_handle(handle.id).terminate("lost")
    cloud.faults.release.set()
    things = cloud.things.things()

    records, id = AuditedRecords(cloud.database), instance_of(handle)
    found = {each.id: each for each in records.live()}[id]
    findings = [each for each in stuck(World(servers={id: found})) if repairable(each)]
    mending = plan(found, findings)
    assert mending.abandon is None and mending.forget == findings
    assert records.forget(findings[0]) is True
    record = cloud.record(handle)
    assert record is not None and (record.vm_state, record.task_state) == ("active", None)
    with cloud.database.read() as session:
        told = session.get_one(InstanceAction, (id, wanted.requester.request_id))
        assert told.message == "Error" and told.finish_time is not None
    assert cloud.things.things() == things
    assert records.forget(findings[0]) is False, "it is at rest by now"
    assert await do(cloud, handle, "os-stop") is None


async def test_a_build_that_is_lost_is_not_put_back(cloud: FrameCloud) -> None:
    handle = await cloud.boot(hold="spawn")
    await asyncio.wait_for(cloud.faults.held.wait(), 20)
    await cloud.client.get_workflow_handle(handle.id).terminate("lost")
    cloud.faults.release.set()
    records, id = AuditedRecords(cloud.database), instance_of(handle)
    found = {each.id: each for each in records.live()}[id]
    findings = list(stuck(World(servers={id: found})))
    assert plan(found, findings).abandon is not None
    assert records.forget(findings[0]) is False
