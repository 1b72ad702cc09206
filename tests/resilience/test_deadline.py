"""Every operation has a deadline; then the state says why, and everything is undone."""

import asyncio

import pytest

from tests.resilience.host import NAME, Extra
from tests.workflows.cloud import Cloud

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.usefixtures("watchful")]


async def test_a_step_that_never_begins(cloud: Cloud, extra: Extra) -> None:
    """Mechanism: the deadline in Operation._watch; a step may wait in its host's queue for as long as it takes."""
    boot = await cloud.boot(cloud.request(deadline_s=1.5))
    await extra.claimed(boot)
    await asyncio.sleep(2.5)  # the host is up, but takes no step; now it does, and undoes what it may hold
    async with extra.working():
        assert "Not finished before its deadline" in str(await cloud.end(boot))
    record = cloud.record(boot)
    assert record and (record.vm_state, record.task_state, record.host) == ("error", None, None)
    assert record.fault and "Not finished before its deadline" in record.fault["message"]
    assert f"on {NAME}" in record.fault["message"]  # which step, where
    extra.forget()
    assert await cloud.leaks() == []


async def test_a_step_that_never_ends(cloud: Cloud) -> None:
    """Mechanism: the same, and the heartbeat timeout that ends a step which does not answer to its cancel."""
    boot = await cloud.boot(cloud.request(deadline_s=1.5), hold="spawn")
    await cloud.faults.held.wait()
    error = await cloud.end(boot)
    cloud.faults.release.set()
    assert "Not finished before its deadline" in str(error)
    record = cloud.record(boot)
    assert record and record.vm_state == "error" and record.fault and "spawn on node" in record.fault["message"]
    assert cloud.claim(boot) is None
    assert await cloud.leaks() == []
