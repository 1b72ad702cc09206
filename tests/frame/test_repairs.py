"""What a repair does once it has looked again, on the made-up world; with real hosts: tests/resilience."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from activities.looking import Looker
from infra.auditing import hosts
from infra.auditing.services import AuditedServices
from infra.contracts.audit import Finding, RepairPlan, RepairRequest
from infra.contracts.network import PortRequest, PortsOnHost
from infra.openstack import service_session
from infra.stores.audited import AuditedRecords
from infra.temporal import CONTROL_QUEUE
from tests.frame.cloud import FrameCloud as Cloud
from tests.frame.test_actions import drop
from tests.workflows.acting import Handle, server
from tests.workflows.servers import instance_of
from workflows.repair_instance import RepairInstance

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def planned(cloud: Cloud) -> Handle:
    """A running guest that has lost its tap, and a plan to give it back."""
    handle = await server(cloud, "os-stop")
    record, id = cloud.record(handle), instance_of(handle)
    assert record is not None and record.host
    port_id = record.networks[0]["port_id"]
    cloud.things.here[record.host].remove(("tap", id, port_id))
    port = PortRequest(port_id=port_id, network_id=record.networks[0]["network_id"])
    cloud.things.plans[id] = RepairPlan(
        findings=[Finding(kind=kind, instance_id=id, host=record.host, proof="x") for kind in ("tap", "volume")],
        sync=[record.host],
        host=record.host,
        plug=PortsOnHost(instance_id=id, project_id=record.project_id, hostname="server", ports=[port]),
    )
    return handle


async def repair(cloud: Cloud, handle: Handle, **faults: Any) -> Handle:
    cloud.faults.arm(**faults)
    want = RepairRequest(instance_id=instance_of(handle))
    return await cloud.client.start_workflow(RepairInstance.run, want, id=handle.id, task_queue=CONTROL_QUEUE)


async def test_a_guest_gets_its_tap_back_and_is_given_the_interface_anew(cloud: Cloud) -> None:
    handle = await planned(cloud)
    report = await (await repair(cloud, handle)).result()
    assert cloud.faults.ran == ["inspect_instance", "sync_network", "plug_ports", "mend_nics"]
    assert [(f.kind, f.repaired) for f in report.findings] == [("tap", True), ("volume", True)]
    assert {kind for _, kind, _, _ in cloud.of(instance_of(handle))} >= {"tap", "nic"}
    await drop(cloud, handle)


async def test_what_a_step_cannot_mend_stays_a_finding(cloud: Cloud) -> None:
    handle = await planned(cloud)
    report = await (await repair(cloud, handle, fail_before="plug_ports")).result()
    assert [f.repaired for f in report.findings] == [False, True]
    await drop(cloud, handle)


async def test_a_host_looks_after_its_network_and_nothing_is_plugged(cloud: Cloud) -> None:
    handle = await planned(cloud)
    id = instance_of(handle)
    cloud.things.plans[id] = cloud.things.plans[id].model_copy(update={"plug": None})
    await (await repair(cloud, handle)).result()
    assert cloud.faults.ran == ["inspect_instance", "sync_network"]
    await drop(cloud, handle)


async def test_a_cancel_ends_it_at_its_step(cloud: Cloud) -> None:
    handle = await planned(cloud)
    running = await repair(cloud, handle, hold="sync_network")
    await asyncio.wait_for(cloud.faults.held.wait(), 20)
    await cloud.cancel(running)
    cloud.faults.release.set()
    assert await cloud.end(running) is not None
    assert "plug_ports" not in cloud.faults.ran
    await drop(cloud, handle)


async def test_a_host_that_reports_and_does_not_answer_is_named(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what lies on it, nothing is known: it is no host on which nothing lies."""
    monkeypatch.setattr(hosts, "PATIENCE", timedelta(milliseconds=300))
    services = AuditedServices(cloud.settings, service_session(cloud.settings))
    asked = hosts.AuditedHosts(cloud.client, lambda: ["silent"])
    world = await Looker(AuditedRecords(cloud.database), asked, services).look_at_networks(["silent", "down"])
    assert world.unreachable == ["silent"] and not world.hosts
