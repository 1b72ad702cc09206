"""An operation that is lost without an end, as when somebody terminates its workflow: what its record says is mended,
and a guest that ran is not touched."""

import asyncio

import pytest
from sqlmodel import select

from activities.auditing.compare import repairable
from activities.auditing.plan import plan
from activities.auditing.states import stuck
from infra.contracts.audit import World
from infra.stores.audited import AuditedRecords
from infra.tables.compute import Allocation, Instance, InstanceAction
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


async def test_a_resize_that_is_lost_holds_one_flavor(cloud: FrameCloud) -> None:
    """Mechanism: `_put_back`. The migration's claim stayed until an audit after the one that put the server back."""
    handle = await server(cloud, "resize")
    cloud.faults.arm(hold="reshape")
    action, wanted = request(cloud, handle, "resize")
    await cloud.ops.start(action, wanted)
    await asyncio.wait_for(cloud.faults.held.wait(), 20)
    await cloud.client.get_workflow_handle(handle.id).terminate("lost")
    cloud.faults.release.set()
    records, id = AuditedRecords(cloud.database), instance_of(handle)

    def held() -> list[str]:
        with cloud.database.read() as session:
            return list(session.exec(select(Allocation.kind).where(Allocation.instance_id == id)))

    assert sorted(held()) == ["instance", "migration"]
    (finding,) = stuck(World(servers={id: {each.id: each for each in records.live()}[id]}))
    assert records.forget(finding) is True and held() == ["instance"]
    with cloud.database.read() as session:
        row = session.get_one(Instance, id)
        kept = session.get_one(Allocation, id)
        assert (kept.vcpus, kept.memory_mb) == (row.flavor["vcpus"], row.flavor["ram"])
        assert (row.vcpus, row.memory_mb, row.task_state) == (kept.vcpus, kept.memory_mb, None)


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
