"""Failures are sorted: transient ones tried again, hosts that cannot given up, hopeless ones undone at once."""

from typing import Any

import pytest

from infra.temporal import server_workflow_id
from tests.chaos.cloud import Cloud as Tenants
from tests.chaos.cloud import Tenant
from tests.resilience.processes import until
from tests.workflows.cloud import Cloud

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_transient_failure_is_retried_with_a_cap(cloud: Cloud) -> None:
    """Mechanism: `tries` of a step and saga.RETRY. Without the cap the build would try for ever."""
    boot = await cloud.boot(cloud.request(max_hosts=1), fail_before="spawn", raises=OSError)
    error = await cloud.end(boot)
    assert "tried 7 times" in str(error)
    assert cloud.faults.ran.count("spawn") == 7
    assert await cloud.leaks() == []


async def test_a_hopeless_failure_is_neither_retried_nor_moved(cloud: Cloud) -> None:
    """Mechanism: the sort `Hopeless` (non_retryable, and Attempt._another_host_may_help)."""
    boot = await cloud.boot(fail_before="spawn", kind="Hopeless")
    assert "injected at spawn" in str(await cloud.end(boot))
    assert (cloud.faults.ran.count("spawn"), cloud.faults.ran.count("claim_host")) == (1, 1)
    record = cloud.record(boot)
    assert record and record.vm_state == "error" and record.fault and "spawn on node" in record.fault["message"]


async def test_a_host_that_cannot_is_left_and_both_hosts_are_shown(cloud: Cloud, tenants: Tenants) -> None:
    """Mechanism: Attempts goes on with the next host; the log of steps names each one's."""
    boot = await cloud.boot(fail_after="spawn", kind="HostCannot", times=1)
    assert await cloud.end(boot) is None
    record = cloud.record(boot)
    assert record is not None
    path = f"/v2.1/servers/{record.id}/os-instance-actions/{record.request_id}"
    answer = await tenants.sure(tenants.admin, "GET", "compute", path)
    spawns = [e for e in answer.json()["instanceAction"]["events"] if e["event"] == "spawn"]
    assert {(e["host"], e["result"]) for e in spawns} == {
        (record.host, "Success"),
        *((host, "Error") for host in {"node1", "node2"} - {record.host}),
    }
    assert [e["details"] for e in spawns if e["result"] == "Error"] == ["injected at spawn"]
    await cloud.delete(boot)
    await cloud.end(boot)


async def test_no_valid_host_counts_per_filter_and_names_hosts_to_admins_only(cloud: Cloud, tenants: Tenants) -> None:
    """Mechanism: the counts in Scheduler.choose, and the split of the fault into message and details."""
    cloud.faults.arm()
    flavor = {"flavor": {"id": "vast", "name": "vast", "ram": 10**9, "vcpus": 1, "disk": 1}}
    await tenants.sure(tenants.admin, "POST", "compute", "/v2.1/flavors", json=flavor)
    owner = tenants.tenants[0]
    body = {"server": {"name": "vast", "imageRef": tenants.image, "flavorRef": "vast", "networks": "none"}}
    answer = await tenants.sure(owner, "POST", "compute", "/v2.1/servers", json=body)
    assert answer.status_code == 202, answer.text
    path = f"/v2.1/servers/{answer.json()['server']['id']}"

    async def fault(who: Tenant) -> dict[str, Any] | None:
        found = (await tenants.sure(who, "GET", "compute", path)).json()["server"]
        return found["fault"] if found["status"] == "ERROR" else None

    seen = await until(lambda: fault(owner))
    assert "ComputeFilter: 2" in seen["message"] and "RamFilter: 0" in seen["message"]
    assert "node1" not in str(seen)
    assert "node1 failed RamFilter" in (await until(lambda: fault(tenants.admin)))["details"]
    await tenants.sure(owner, "DELETE", "compute", path)
    handle = cloud.client.get_workflow_handle(server_workflow_id(path.rpartition("/")[2]))
    await cloud.end(handle)
