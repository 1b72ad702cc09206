"""Replay: a failed build again, a parked one from its failed step, and Temporal's own Reset at any point."""

from typing import Any

import httpx
import pytest
from temporalio.client import WorkflowHandle

from tests.resilience.parking import parked
from tests.workflows.cloud import Cloud
from tests.workflows.resets import points, reset
from tests.workflows.servers import instance_of

pytestmark = pytest.mark.asyncio(loop_scope="session")
PARK = {"kilonova:on_failure": "park"}


def addresses(cloud: Cloud, instance_id: str) -> list[str]:
    url = cloud.settings.url("network", f"/v2.0/ports?device_id={instance_id}")
    ports = httpx.get(url, headers={"X-Auth-Token": cloud.token}).json()["ports"]
    return [ip["ip_address"] for port in ports for ip in port["fixed_ips"]]


async def delete(cloud: Cloud, boot: WorkflowHandle[Any, Any]) -> None:
    cloud.faults.arm()
    await cloud.delete(boot)
    assert await cloud.end(boot) is None
    assert await cloud.leaks() == []


async def test_again_is_the_same_server_with_the_same_address(cloud: Cloud) -> None:
    """Mechanism: Operations.retry with the sealed request; the address that the failed build had is asked for again.
    A lower address that became free meanwhile would be given otherwise."""
    port = cloud.post("network", "/v2.0/ports", {"port": {"network_id": cloud.network}})["port"]
    request = cloud.request(name="phoenix")
    boot = await cloud.boot(request, hold="spawn", fail_before="spawn", kind="Hopeless")
    await cloud.faults.held.wait()
    before = addresses(cloud, request.instance_id)
    cloud.faults.release.set()
    assert await cloud.end(boot) is not None
    assert before and addresses(cloud, request.instance_id) == []
    url = cloud.settings.url("network", f"/v2.0/ports/{port['id']}")
    assert httpx.delete(url, headers={"X-Auth-Token": cloud.token}).status_code == 204
    cloud.faults.arm()
    assert (await cloud.ops.retry(cloud.requester(), request.instance_id)).instance_id == request.instance_id
    assert await cloud.end(boot) is None
    record = cloud.record(boot)
    assert record and (record.name, record.vm_state, record.fault) == ("phoenix", "active", None)
    assert addresses(cloud, request.instance_id) == before
    await delete(cloud, boot)


async def test_a_parked_build_goes_on_at_its_failed_step(cloud: Cloud) -> None:
    """Mechanism: Saga.step's loop around `park`. Unparked, the build would begin anew on another host."""
    boot = await cloud.boot(cloud.request(hints=PARK), fail_before="spawn", kind="HostCannot", times=1)
    record = await parked(cloud, boot)
    assert record.vm_state == "building" and record.parked == "spawn: injected at spawn"
    claim, held = cloud.claim(boot), addresses(cloud, record.id)
    assert claim and held
    await cloud.ops.retry(cloud.requester(), record.id)
    assert await cloud.end(boot) is None
    ran = cloud.faults.ran
    assert ran.count("spawn") == 2
    for step in ("validate_token", "create_record", "claim_host", "fetch_to_host", "plug_ports", "attach_volumes"):
        assert ran.count(step) == 1, step
    active = cloud.record(boot)
    assert active and (active.vm_state, active.parked, active.host) == ("active", None, claim.host)
    assert addresses(cloud, record.id) == held
    await delete(cloud, boot)


@pytest.mark.parametrize("end", ["abort", "deadline"])
async def test_a_parked_build_is_undone(cloud: Cloud, end: str) -> None:
    """Mechanism: `decide`, and the timeout of the wait for it; without that a parked build would be held for ever."""
    more = {"park_deadline_s": 1.0} if end == "deadline" else {}
    boot = await cloud.boot(cloud.request(hints=PARK, **more), fail_before="spawn", kind="HostCannot")
    record = await parked(cloud, boot)
    if end == "abort":
        await cloud.ops.resume(cloud.requester(), record.id, "abort")
    assert "injected at spawn" in str(await cloud.end(boot))
    ended = cloud.record(boot)
    assert ended and (ended.vm_state, ended.task_state, ended.parked) == ("error", None, None)
    assert cloud.claim(boot) is None and await cloud.leaks() == []


async def test_reset_of_a_finished_build_finds_everything_in_place(cloud: Cloud) -> None:
    """Mechanism: every step checks what it finds; a step that made things anew would fail or double them."""
    boot = await cloud.boot()
    assert await cloud.end(boot) is None
    world, held = await cloud.world(), addresses(cloud, instance_of(boot))
    run_id, events = await points(cloud, boot)
    for event_id in events:
        await reset(cloud, boot, run_id, event_id)
        assert await cloud.end(boot) is None, event_id
        record = cloud.record(boot)
        assert record and (record.vm_state, record.task_state) == ("active", None)
        assert await cloud.world() == world and addresses(cloud, record.id) == held
        assert await cloud.leaks() == []
    await delete(cloud, boot)


async def test_reset_of_a_failed_build_ends_well_or_changes_nothing(cloud: Cloud) -> None:
    """Mechanism: undos and `fail_record` carry the number of their own claim.

    Reset to its beginning the build succeeds. Reset to a task within the unwinding of its first run it ends, and the
    server of the later run stays as it is."""
    boot = await cloud.boot(fail_after="spawn")
    assert await cloud.end(boot) is not None
    run_id, events = await points(cloud, boot)
    cloud.faults.arm()
    await reset(cloud, boot, run_id, events[0])
    assert await cloud.end(boot) is None
    world, held = await cloud.world(), addresses(cloud, instance_of(boot))
    for event_id in events[1:]:
        await reset(cloud, boot, run_id, event_id)
        assert await cloud.end(boot) is not None, event_id
        record = cloud.record(boot)
        assert record and (record.vm_state, record.task_state, record.fault) == ("active", None, None), event_id
        assert await cloud.world() == world and addresses(cloud, record.id) == held, event_id
        assert await cloud.leaks() == [], event_id
    await delete(cloud, boot)


async def test_reset_within_an_unwinding_alone_ends_as_before(cloud: Cloud) -> None:
    """Mechanism: every undo may be repeated, and one whose claim is the newest is done."""
    boot = await cloud.boot(fail_after="spawn")
    assert await cloud.end(boot) is not None
    run_id, events = await points(cloud, boot)
    cloud.faults.arm()
    for event_id in events[1:]:
        await reset(cloud, boot, run_id, event_id)
        assert await cloud.end(boot) is not None, event_id
        record = cloud.record(boot)
        assert record and (record.vm_state, record.task_state) == ("error", None) and record.fault, event_id
        assert await cloud.leaks() == [], event_id
    await delete(cloud, boot)
