"""A host goes silent in the middle of a build: the build moves, and the host cannot do harm when it is back."""

import asyncio
import uuid
from datetime import timedelta
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError

from infra.contracts.hypervisor import HostFacts, HostRef
from infra.host import driver as drivers
from infra.temporal import compute_queue
from tests.resilience.host import NAME, Extra
from tests.workflows.cloud import Cloud
from tests.workflows.servers import instance_of
from workers import compute

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def moved(cloud: Cloud, extra: Extra, **request: Any) -> Any:
    """(request, handle) of a build whose host fell silent, with its guest already there, and that ended elsewhere."""
    wanted = cloud.request(**request)
    boot = await cloud.boot(wanted)
    await extra.claimed(boot)
    await asyncio.to_thread(extra.host.driver.spawn, extra.spec(wanted), lambda *_: None)
    assert extra.guests() == {wanted.instance_id}
    extra.fall_silent()
    assert await cloud.end(boot) is None
    return wanted, boot


@pytest.mark.usefixtures("watchful")
async def test_the_build_moves_and_leftovers_go_before_new_work(
    cloud: Cloud, extra: Extra, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mechanisms: Operation._watch (else it waits for ever), and `reconcile` before the worker takes steps: the first
    step that runs on the host, queued while it was away, sees what there was."""
    wanted, boot = await moved(cloud, extra)
    record, claim = cloud.record(boot), cloud.claim(boot)
    assert record and claim and record.vm_state == "active" and record.host == claim.host != NAME
    assert claim.attempt == 2
    monkeypatch.setattr(compute.Host, "connect", lambda _settings: extra.host)
    life = compute._Life()
    asked = asyncio.create_task(
        cloud.client.execute_activity(
            "host_facts",
            HostRef(host=NAME),
            id=f"first-{uuid.uuid4()}",
            task_queue=compute_queue(NAME),
            result_type=HostFacts,
            schedule_to_close_timeout=timedelta(seconds=30),
        )
    )
    await asyncio.sleep(0.5)
    serving = asyncio.create_task(compute._serve(extra.settings, life))
    first: HostFacts = await asked
    life.end()
    await serving
    assert first.domains == {} and wanted.instance_id not in first.instance_dirs
    record = cloud.record(boot)
    assert record and record.vm_state == "active"
    extra.forget()
    assert await cloud.leaks() == []
    await cloud.delete(boot)
    await cloud.end(boot)


@pytest.mark.usefixtures("watchful")
async def test_what_the_services_hold_is_freed_without_the_host(cloud: Cloud, extra: Extra) -> None:
    """Mechanism: `release_services` of BootInstance.fail. The undos on a host that is gone are not waited for: without
    it the port, the attachment and the volume would stay until the host is back."""
    extra.fall_silent()
    before = await cloud.world()
    extra.report()
    async with extra.working():
        boot = await cloud.boot(cloud.request(forced_host=NAME), hold="spawn")
        await cloud.faults.held.wait()
        extra.fall_silent()
        assert NAME in str(await cloud.end(boot))
        cloud.faults.release.set()
    record = cloud.record(boot)
    assert record and record.vm_state == "error" and record.fault and NAME in record.fault["message"]
    assert cloud.claim(boot) is None
    assert await cloud.world() == before | {"instances": before["instances"] + 1}


@pytest.mark.usefixtures("watchful")
async def test_a_zombie_that_wakes_up_late_starts_no_second_guest(cloud: Cloud, extra: Extra) -> None:
    """Mechanism: Driver._require_claim, both for a guest that it would start and for one that runs already."""
    wanted, boot = await moved(cloud, extra)
    for _ in range(2):  # the guest runs; there is none
        with pytest.raises(ApplicationError, match="no longer holds the claim"):
            await asyncio.to_thread(extra.host.driver.spawn, extra.spec(wanted), lambda *_: None)
        assert extra.guests() == set()
    await cloud.delete(boot)
    await cloud.end(boot)


@pytest.mark.usefixtures("watchful")
async def test_a_claim_that_moves_while_the_guest_starts_is_noticed(
    cloud: Cloud, extra: Extra, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mechanism: the second look of Driver._let_run, after a start that took long (a host that was stopped in it)."""
    monkeypatch.setattr(drivers, "CLAIM_AGE_S", 0.0)
    wanted = cloud.request()
    boot = await cloud.boot(wanted)
    await extra.claimed(boot)
    start, loop = extra.host.driver._domains.start, asyncio.get_running_loop()

    def slow_start(instance_id: str, **how: Any) -> None:
        extra.fall_silent()
        assert asyncio.run_coroutine_threadsafe(cloud.end(boot), loop).result() is None
        start(instance_id, **how)

    monkeypatch.setattr(extra.host.driver._domains, "start", slow_start)
    with pytest.raises(ApplicationError, match="no longer holds the claim"):
        await asyncio.to_thread(extra.host.driver.spawn, extra.spec(wanted), lambda *_: None)
    assert extra.guests() == set()
    record = cloud.record(boot)
    assert record and record.vm_state == "active" and record.id == instance_of(boot)
    await cloud.delete(boot)
    await cloud.end(boot)
