"""What an operation refuses, and what it tells while it is asked at a bad moment."""

import asyncio
import uuid

import pytest
from temporalio.client import WorkflowUpdateFailedError

from api.common.errors import ServiceError
from infra.temporal import server_workflow_id
from tests.resilience.parking import parked
from tests.workflows.acting import told
from tests.workflows.beside import beside
from tests.workflows.cloud import Cloud
from tests.workflows.servers import instance_of
from workflows.build import Build

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.mark.parametrize(
    "change, code, words",
    [
        ({"token": "nobodys"}, 401, "requires authentication"),
        ({"project_id": uuid.uuid4().hex}, 403, "scoped to another project"),
    ],
)
async def test_a_token_that_is_not_good_leaves_nothing(
    cloud: Cloud, change: dict[str, str], code: int, words: str
) -> None:
    """The API has looked at the token before; the workflow does not believe it."""
    before = await cloud.world()
    cloud.faults.arm()
    request = cloud.request(requester=cloud.requester().model_copy(update=change))
    with pytest.raises(ServiceError) as refused:
        await cloud.ops.boot(request)
    assert refused.value.status == code and words in str(refused.value)
    boot = cloud.client.get_workflow_handle(server_workflow_id(request.instance_id))
    assert words in str(await cloud.end(boot))
    assert cloud.record(boot) is None and await cloud.world() == before


async def test_only_a_parked_step_can_be_decided_over_and_only_by_known_words(cloud: Cloud) -> None:
    hints = {"kilonova:on_failure": "park"}
    boot = await cloud.boot(cloud.request(hints=hints), hold="fetch_to_host", fail_before="spawn", kind="HostCannot")
    await cloud.faults.held.wait()

    async def refused(decision: str) -> str:
        with pytest.raises(WorkflowUpdateFailedError) as failure:
            await boot.execute_update(Build.decide, decision)
        return str(failure.value.cause)

    assert "waiting for a decision" in await refused("retry")
    cloud.faults.release.set()
    await parked(cloud, boot)
    assert "must be retry or abort" in await refused("maybe")
    await cloud.ops.resume(cloud.requester(), instance_of(boot), "abort")
    assert "injected at spawn" in str(await cloud.end(boot))


async def test_a_delete_shows_its_steps(cloud: Cloud) -> None:
    boot = await cloud.boot()
    assert await cloud.end(boot) is None
    cloud.faults.arm(hold="destroy")
    await cloud.delete(boot)
    await cloud.faults.held.wait()
    instance_id = instance_of(boot)
    shown = {step["event"]: step["result"] for step in await told(cloud, instance_id)}
    assert shown["begin_delete"] == "Success" and shown["destroy"] is None
    cloud.faults.release.set()
    assert await cloud.end(boot) is None


async def test_a_delete_that_comes_before_the_first_step(cloud: Cloud) -> None:
    before = await cloud.world()
    async with beside(cloud, "early-delete") as other:
        request = other.request()
        asked = asyncio.create_task(other.ops.boot(request))
        boot = await other.begun(request)
        await other.delete(boot)
        async with other.workers():
            with pytest.raises(ServiceError) as refused:
                await asked
            assert refused.value.status == 409 and "given up before it was accepted" in str(refused.value)
            assert await other.end(boot) is None
    assert cloud.record(boot) is None and await cloud.world() == before


async def test_two_deletes_while_a_failed_build_is_undone(cloud: Cloud) -> None:
    boot = await cloud.boot(hold="unplug_ports", fail_after="spawn")
    await cloud.faults.held.wait()
    await cloud.delete(boot)
    await cloud.delete(boot)
    cloud.faults.release.set()
    assert await cloud.end(boot) is None
    record = cloud.record(boot)
    assert record and record.vm_state == "deleted" and await cloud.leaks() == []


async def test_a_host_is_asked_for_a_guests_console(cloud: Cloud) -> None:
    """libvirt's test driver runs no guest: nothing was written, and there is no screen."""
    boot = await cloud.boot()
    assert await cloud.end(boot) is None
    assert await cloud.ops.console_output(instance_of(boot), 10) == ""
    with pytest.raises(ServiceError) as refused:
        await cloud.ops.console_target(instance_of(boot), "vnc")
    assert refused.value.status == 409 and "not ready" in str(refused.value)
