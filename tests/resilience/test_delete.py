"""Delete always gets through: into a held build, a parked one, another delete, and with the host gone."""

import asyncio
import time
from typing import Any

import pytest

from api.common.errors import ServiceError
from tests.chaos.cloud import Cloud as Tenants
from tests.resilience.host import NAME, Extra
from tests.resilience.parking import parked
from tests.workflows.cloud import Cloud
from tests.workflows.servers import instance_of

pytestmark = pytest.mark.asyncio(loop_scope="session")
PARK = {"kilonova:on_failure": "park"}


def deleted(cloud: Cloud, boot: Any) -> bool:
    record = cloud.record(boot)
    return record is not None and record.vm_state == "deleted"


async def test_during_a_build_a_second_operation_is_409_and_a_delete_gets_through(
    cloud: Cloud, tenants: Tenants
) -> None:
    """Mechanisms: one workflow id per server (its operation refuses a key that is not its own) and retry's look at the
    record; the `delete` signal that cancels a running build. Without that the held step is waited for and kept."""
    request = cloud.request()
    boot = await cloud.boot(request, hold="spawn")
    await cloud.faults.held.wait()
    path = f"/v2.1/servers/{request.instance_id}/action"
    answer = await tenants.sure(tenants.admin, "POST", "compute", path, json={"kilonova:retry": None})
    assert answer.status_code == 409 and "conflictingRequest" in answer.json()
    other = request.model_copy(update={"requester": cloud.requester()})
    with pytest.raises(ServiceError) as refused:
        await cloud.ops._start("BootInstance", other, "retry", key="another request")
    assert refused.value.status == 409
    await cloud.delete(boot)
    cloud.faults.release.set()
    assert await cloud.end(boot) is None
    assert deleted(cloud, boot) and await cloud.leaks() == []


async def test_while_parked(cloud: Cloud) -> None:
    """Mechanism: the same signal; a parked build waits in its workflow, where the cancel reaches it."""
    boot = await cloud.boot(cloud.request(hints=PARK), fail_before="spawn", kind="HostCannot")
    await parked(cloud, boot)
    await cloud.delete(boot)
    assert await cloud.end(boot) is None
    assert deleted(cloud, boot) and await cloud.leaks() == []


async def test_during_a_delete_and_after_it(cloud: Cloud) -> None:
    """Mechanism: DeleteInstance takes the signal and goes on (id_conflict_policy USE_EXISTING), and begin_delete finds
    a deleted record; else the second delete would start a second workflow, or fail."""
    boot = await cloud.boot()
    assert await cloud.end(boot) is None
    cloud.faults.arm(hold="destroy")
    await cloud.delete(boot)
    await cloud.faults.held.wait()
    first = (await cloud.client.get_workflow_handle(boot.id).describe()).run_id
    await cloud.delete(boot)
    assert (await cloud.client.get_workflow_handle(boot.id).describe()).run_id == first
    cloud.faults.release.set()
    assert await cloud.end(boot) is None
    await cloud.delete(boot)
    assert await cloud.end(boot) is None
    assert deleted(cloud, boot) and await cloud.leaks() == []


@pytest.mark.usefixtures("watchful")
@pytest.mark.parametrize("when", ["queued", "running"])
async def test_with_the_host_gone(cloud: Cloud, extra: Extra, when: str) -> None:
    """Mechanism: DeleteInstance.on_host gives a silent host up, whether the step waits for a worker or hangs in one;
    ports and volumes are freed from here (Services.release_services)."""
    extra.fall_silent()
    before = await cloud.world()
    extra.report()
    boot = await cloud.boot()
    async with extra.working():
        assert await cloud.end(boot) is None
        if when == "running":
            cloud.faults.arm(hold="destroy")
            await cloud.delete(boot)
            await cloud.faults.held.wait()
            extra.fall_silent()
            begun = time.monotonic()
            assert await cloud.end(boot) is None
            cloud.faults.release.set()
    if when == "queued":
        extra.fall_silent()
        begun = time.monotonic()
        await cloud.delete(boot)
        assert await cloud.end(boot) is None
    assert time.monotonic() - begun < 10
    assert deleted(cloud, boot) and cloud.claim(boot) is None
    assert await cloud.world() == before
    assert await cloud.leaks() == []


@pytest.mark.usefixtures("watchful")
async def test_a_host_that_is_up_is_waited_for(cloud: Cloud, extra: Extra) -> None:
    """Mechanism: DeleteInstance.on_host asks whether the host reports before it gives it up."""
    boot = await cloud.boot()
    async with extra.working():
        assert await cloud.end(boot) is None
        cloud.faults.arm(hold="destroy")
        await cloud.delete(boot)
        while cloud.faults.looks < 2:
            await asyncio.sleep(0.05)
        cloud.faults.release.set()
        assert await cloud.end(boot) is None
        assert cloud.faults.ran.count("unplug_ports") == 1 and "release_services" not in cloud.faults.ran
    extra.fall_silent()
    assert deleted(cloud, boot) and await cloud.leaks() == []


@pytest.mark.usefixtures("watchful")
async def test_a_build_on_a_host_that_is_gone(cloud: Cloud, extra: Extra) -> None:
    """Mechanism: the undos of a saga whose host is given up (Place.gone) do not wait for it."""
    extra.fall_silent()
    before = await cloud.world()
    extra.report()
    boot = await cloud.boot(cloud.request(forced_host=NAME))
    await extra.claimed(boot)
    await asyncio.sleep(0.5)
    extra.fall_silent()
    await cloud.delete(boot)
    assert await cloud.end(boot) is None
    assert deleted(cloud, boot) and instance_of(boot)
    assert await cloud.world() == before
