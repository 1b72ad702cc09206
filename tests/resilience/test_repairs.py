"""Repairs: each under its server's workflow id, after another look; reports and memory of an audit are bounded."""

import asyncio
import json
import tracemalloc
import uuid

import httpx
import pytest
from sqlalchemy import delete
from sqlmodel import col, select

from api.common.errors import ServiceError
from infra.codec import KeyRing
from infra.contracts.audit import Finding, RepairReport, RepairRequest
from infra.payloads import EncryptingCodec
from infra.settings import Settings
from infra.tables.compute import Allocation, Instance
from tests.ids import stable_id
from tests.resilience.planted import fresh_audit
from tests.workflows.cloud import Cloud
from tests.workflows.servers import instance_of
from workers.schedules import schedule_audit

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_repair_holds_the_servers_workflow_id_and_a_delete_takes_over(cloud: Cloud) -> None:
    """Mechanism: RepairInstance's id, and Operation's `delete`. A repair ran minutes after the look, without a lock."""
    failed = await cloud.boot(fail_after="spawn")
    cloud.faults.fail_before = "unplug_ports"
    assert await cloud.end(failed) is not None
    (found,) = await cloud.leaks()
    want = RepairRequest(instance_id=instance_of(failed), findings=[found])
    cloud.faults.arm(hold="inspect_instance")
    repair = asyncio.create_task(cloud.audit._operations.repair(want))
    await cloud.faults.held.wait()
    assert await cloud.audit._operations.runs(want.instance_id)
    assert await cloud.leaks() == [], "what an operation is at work on is no leak"
    assert await cloud.audit._operations.repair(want) == RepairReport(), "a second one finds the first"
    with pytest.raises(ServiceError) as refused:
        await cloud.ops.retry(cloud.requester(), want.instance_id)
    assert refused.value.status == 409
    await cloud.delete(failed)
    cloud.faults.release.set()
    assert await repair == RepairReport()
    assert await cloud.end(failed) is None
    gone = cloud.record(failed)
    assert gone and gone.vm_state == "deleted" and await cloud.leaks() == []


async def test_no_repair_starts_while_an_operation_runs(cloud: Cloud) -> None:
    boot = await cloud.boot(hold="spawn")
    await cloud.faults.held.wait()
    held = Finding(kind="allocation", instance_id=instance_of(boot), host="node1", proof="x")
    want = RepairRequest(instance_id=instance_of(boot), findings=[held])
    assert await cloud.audit._operations.repair(want) == RepairReport()
    cloud.faults.release.set()
    assert await cloud.end(boot) is None and cloud.claim(boot)


async def test_a_repair_looks_again_before_it_acts(cloud: Cloud) -> None:
    """Mechanism: `inspect_instance`. What an audit found is only where the repair looks."""
    boot = await cloud.boot()
    assert await cloud.end(boot) is None
    record = cloud.record(boot)
    assert record and record.host
    id = record.id
    stale = [
        Finding(kind="domain", instance_id=id, host=record.host, proof="x"),
        Finding(kind="allocation", instance_id=id, host=record.host, proof="x"),
        Finding(kind="port", instance_id=id, what=stable_id(id, "port/0"), proof="x"),
        Finding(kind="attachment", instance_id=id, what=stable_id(id, "attachment/0"), proof="x"),
        Finding(kind="volume", instance_id=id, what=stable_id(id, "volume/0"), proof="x"),
    ]
    before = await cloud.world()
    assert await cloud.audit._operations.repair(RepairRequest(instance_id=id, findings=stale)) == RepairReport()
    assert await cloud.world() == before
    assert not cloud.audit._records.forget(stale[1]) and cloud.claim(boot)


async def test_a_repair_that_cannot_leaves_its_finding(cloud: Cloud) -> None:
    failed = await cloud.boot(fail_after="spawn")
    cloud.faults.fail_before = "unplug_ports"
    assert await cloud.end(failed) is not None
    cloud.faults.arm(fail_before="release_services")
    report = await cloud.audit.audit(repair=True)
    assert [(f.kind, f.repaired) for f in report.findings] == [("port", False)] and report.left == 1
    cloud.faults.arm()
    assert (await cloud.audit.audit(repair=True)).left == 0
    await cloud.delete(failed)
    assert await cloud.end(failed) is None


@pytest.mark.parametrize("repairs", [True, False])
async def test_repair_by_itself_is_off_until_the_operator_turns_it_on(cloud: Cloud, repairs: bool) -> None:
    """Mechanism: `audit_repairs`, and the schedule's update: an older one repaired."""
    assert Settings.model_fields["audit_repairs"].default is False
    await schedule_audit(cloud.client, cloud.settings.model_copy(update={"audit_repairs": repairs}))
    found = await cloud.client.get_schedule_handle("reconcile-cloud").describe()
    (payload,) = found.schedule.action.args  # type: ignore[attr-defined]
    (want,) = await EncryptingCodec(KeyRing.load(cloud.settings.codec_keys)).decode([payload])
    assert json.loads(want.data) == {"repair": repairs}


async def test_a_report_fits_and_an_audit_needs_little_memory(cloud: Cloud) -> None:
    """Mechanism: Tally, SHOWN, and AuditedRecords' columns and pages. All rows came with their sealed requests, and all
    findings in one payload."""
    many, sealed = 600, "x" * 50_000
    with cloud.database.write() as session:
        for _ in range(many):
            row = Instance(id=str(uuid.uuid4()), project_id="bulk", user_id="u", name="n", sealed_request=sealed)
            row.vm_state, row.launched_at, row.deleted_at, row.claims = "error", None, None, 1
            session.add(row)
    with cloud.database.write() as session:
        for row in session.exec(select(Instance).where(Instance.project_id == "bulk")).all():
            session.add(Allocation(
                consumer_id=row.id, instance_id=row.id, host="bulk", attempt=1, vcpus=0, memory_mb=0, disk_gb=0
            ))  # fmt: skip
    tracemalloc.start()
    try:
        report = await cloud.audit.audit(repair=False)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        with cloud.database.write() as session:
            session.execute(delete(Allocation).where(col(Allocation.host) == "bulk"))
            session.execute(delete(Instance).where(col(Instance.project_id) == "bulk"))
    assert report.counts == {"allocation": many} and len(report.findings) == 100 and report.left == many
    assert len(report.model_dump_json()) < 64_000
    assert peak < many * len(sealed) / 2, f"{peak} bytes"


async def test_an_outage_is_no_absence(cloud: Cloud) -> None:
    """Mechanism: `has_ports`. Without it every port of every server would count as gone."""
    boot = await cloud.boot()
    assert await cloud.end(boot) is None
    url, asked = f"{cloud.settings.identity_url}/services", {"X-Auth-Token": cloud.token}
    listed = httpx.get(url, headers=asked).json()["services"]
    networks = [service["id"] for service in listed if service["type"] == "network"]

    def switch(enabled: bool) -> None:
        for service in networks:
            httpx.patch(f"{url}/{service}", json={"service": {"enabled": enabled}}, headers=asked).raise_for_status()

    switch(False)
    try:
        report = await fresh_audit(cloud).audit(repair=True)
    finally:
        switch(True)
    assert report.unreachable == ["network"] and report.counts == {}
