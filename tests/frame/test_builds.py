"""Invariants of BootInstance. The list of steps is read from a good boot, never typed here."""

import asyncio

import pytest
from temporalio.client import WorkflowExecutionStatus

from tests.frame.cloud import FrameCloud as Cloud
from tests.workflows.acting import told
from tests.workflows.servers import instance_of

pytestmark = pytest.mark.asyncio(loop_scope="session")


BEFORE_THE_ANSWER = ("create_record", "reserve_named")
"""What fails here is a refusal: the client is told, and there is no server."""


KNOWN: list[str] = []
"""The steps of a build without a fault, once one test has made that run."""


async def steps(cloud: Cloud) -> list[str]:
    if not KNOWN:
        boot = await cloud.boot()
        assert await cloud.end(boot) is None
        KNOWN.extend(cloud.faults.done)
        await cloud.drop(boot)
    return KNOWN


@pytest.mark.turns
@pytest.mark.parametrize("when", ["fail_before", "fail_after"])
@pytest.mark.parametrize("run_twice", [False, True])
async def test_a_failure_at_any_step_unwinds(cloud: Cloud, when: str, run_twice: bool) -> None:
    for step in await steps(cloud):
        boot = await cloud.boot(**{when: step}, run_twice=run_twice)
        error = await cloud.end(boot)
        # It failed where we made it fail, and not earlier for another reason.
        assert f"injected at {step}" in str(error), step
        record = cloud.record(boot)
        if record is not None:
            resting = "deleted" if step in BEFORE_THE_ANSWER else "error"
            assert (record.vm_state, record.task_state) == (resting, None), step
            assert step in record.fault["message"]
        assert await cloud.leaks() == [], step


async def test_every_step_may_run_twice(cloud: Cloud) -> None:
    assert cloud.things.things() == []
    boot = await cloud.boot()
    assert await cloud.end(boot) is None
    record = cloud.record(boot)
    assert record is not None and record.progress == 0, "as of a server that Nova built, and after any action"
    once = len(cloud.things.things())
    await cloud.delete(boot)
    await cloud.end(boot)
    assert cloud.things.things() == []
    boot = await cloud.boot(run_twice=True)
    assert await cloud.end(boot) is None
    assert len(cloud.things.things()) == once
    await cloud.delete(boot)
    await cloud.end(boot)
    assert cloud.things.things() == []


async def test_a_cancel_at_any_step_unwinds(cloud: Cloud) -> None:
    for step in await steps(cloud):
        boot = await cloud.boot(hold=step)
        await cloud.faults.held.wait()
        await cloud.cancel(boot)
        cloud.faults.release.set()
        await cloud.end(boot)
        assert (await boot.describe()).status == WorkflowExecutionStatus.CANCELED, step
        record = cloud.record(boot)
        assert record is None or (record.vm_state, record.task_state) == ("error", None), step
        assert record is None or "cancelled by an operator during: " in record.fault["message"], step
        assert await cloud.leaks() == [], step


async def test_a_delete_at_any_step_gets_through(cloud: Cloud) -> None:
    for step in await steps(cloud):
        boot = await cloud.boot(hold=step)
        await cloud.faults.held.wait()
        await cloud.delete(boot)
        await cloud.delete(boot)  # twice
        cloud.faults.release.set()
        assert await cloud.end(boot) is None, step
        record = cloud.record(boot)
        assert record is None or record.vm_state == "deleted", step
        assert await cloud.leaks() == [], step


async def test_a_cancel_while_unwinding_does_not_stop_it(cloud: Cloud) -> None:
    boot = await cloud.boot(fail_after="spawn", hold="destroy")
    await cloud.faults.held.wait()
    await cloud.cancel(boot)
    cloud.faults.release.set()
    assert await cloud.end(boot) is not None
    assert await cloud.leaks() == []


async def test_a_failed_undo_does_not_stop_the_others(cloud: Cloud) -> None:
    boot = await cloud.boot(fail_after="spawn")
    cloud.faults.fail_before = "unplug_ports"
    error = await cloud.end(boot)
    assert "not undone: unplug_ports" in str(error)
    left = [kind for _host, kind, *_ in await cloud.leaks()]
    assert sorted(left) == ["port", "tap"]  # named, and nothing else
    cloud.faults.arm()
    await cloud.delete(boot)  # what other services hold the delete frees; the audit and the host find the tap
    assert await cloud.end(boot) is None
    assert [kind for _host, kind, *_ in await cloud.leaks()] == ["tap"]
    for here in cloud.things.here.values():
        here.clear()


async def test_a_slow_sibling_is_waited_for(cloud: Cloud) -> None:
    boot = await cloud.boot(fail_before="plug_ports", hold="fetch_to_host")
    await cloud.faults.held.wait()
    await asyncio.sleep(0.5)
    cloud.faults.release.set()
    assert await cloud.end(boot) is not None
    assert await cloud.leaks() == []


async def test_a_host_that_cannot_is_left_for_the_next(cloud: Cloud) -> None:
    for step in ("fetch_to_host", "plug_ports", "attach_volumes", "spawn"):
        boot = await cloud.boot(fail_after=step, kind="HostCannot", times=1)
        assert await cloud.end(boot) is None, step
        record, claim = cloud.record(boot), cloud.claim(boot)
        assert record and claim and record.vm_state == "active"
        assert (claim.host, claim.attempt) == (record.host, 2)
        assert {s["host"] for s in await told(cloud, record.id) if s["host"]} == {"node1", "node2"}
        assert await cloud.leaks() == [], step
        await cloud.drop(boot)


async def test_what_a_step_has_moved_is_told_while_it_runs(cloud: Cloud) -> None:
    boot = await cloud.boot(hold="fetch_to_host", says={"image_id": "i", "bytes": 3 << 20, "of": 10 << 20})
    await cloud.faults.held.wait()

    async def details() -> dict[str, str | None]:
        return {step["event"]: step["details"] for step in await told(cloud, instance_of(boot))}

    async with asyncio.timeout(20):
        while not (shown := await details()).get("fetch_to_host"):
            await asyncio.sleep(0.1)
    assert shown.pop("fetch_to_host") == "30 % of 10 MiB"
    assert [step for step, words in shown.items() if words] == ["validate_token"]  # the deadline
    assert await cloud.ops.percents([instance_of(boot)]) == {instance_of(boot): 30}
    cloud.faults.release.set()
    assert await cloud.end(boot) is None
    assert await cloud.ops.percents([instance_of(boot)]) == {instance_of(boot): 0}


async def test_when_no_host_can_the_fault_names_each(cloud: Cloud) -> None:
    boot = await cloud.boot(fail_before="spawn", kind="HostCannot")
    assert "No valid host was found" in str(await cloud.end(boot))
    record = cloud.record(boot)
    for host in ("node1", "node2"):
        assert record and f"{host}: injected at spawn" in record.fault["message"]
        assert f"{host} failed RetryFilter" in record.fault["details"]
    assert await cloud.leaks() == []


async def test_a_transient_failure_is_retried_in_place(cloud: Cloud) -> None:
    boot = await cloud.boot(fail_before="spawn", kind="Transient", times=2)
    assert await cloud.end(boot) is None
    assert cloud.faults.ran.count("spawn") == 3
    await cloud.drop(boot)
