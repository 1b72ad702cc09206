"""Claims of a resize: both flavors while it waits, one allocation of one flavor afterwards."""

from typing import Any

import pytest
from sqlalchemy import update
from sqlmodel import col, select

from activities.auditing import leftovers
from api.common.errors import ServiceError
from infra.contracts.abilities import CARRIES, OF_THIS_RELEASE
from infra.contracts.audit import RESIZE, Finding, World
from infra.contracts.operation import ActionRequest
from infra.stores import resizes, usage
from infra.stores.audited import AuditedRecords
from infra.tables.compute import Allocation, ComputeNode, Instance, MigrationRecord, Service
from tests.frame.cloud import FrameCloud
from tests.frame.test_actions import drop
from tests.workflows.acting import Handle, do, request, server
from tests.workflows.servers import HOSTS, instance_of
from workflows.action import Action

pytestmark = pytest.mark.asyncio(loop_scope="session")


def asking(cloud: FrameCloud, handle: Handle, **more: Any) -> tuple[Action, ActionRequest]:
    action, wanted = request(cloud, handle, "resize")
    return action, wanted.model_copy(update={"body": {**wanted.body, **more}})


async def resized(cloud: FrameCloud, handle: Handle, **more: Any) -> None:
    cloud.faults.arm()
    await cloud.ops.start(*asking(cloud, handle, **more))
    assert await cloud.end(handle) is None


def row(cloud: FrameCloud, handle: Handle) -> Instance:
    found = cloud.record(handle)
    assert found is not None
    return found


def held(cloud: FrameCloud, handle: Handle) -> dict[str, tuple[int, int]]:
    """Kind of consumer → vCPUs and MiB."""
    with cloud.database.read() as session:
        found = session.exec(select(Allocation).where(col(Allocation.instance_id) == instance_of(handle))).all()
        return {claim.kind: (claim.vcpus, claim.memory_mb) for claim in found}


def ends(cloud: FrameCloud, handle: Handle) -> list[str]:
    with cloud.database.read() as session:
        mine = select(MigrationRecord).where(col(MigrationRecord.instance_id) == instance_of(handle))
        return [found.status for found in session.exec(mine.order_by(col(MigrationRecord.number))).all()]


@pytest.mark.parametrize("choice", ["confirmResize", "revertResize"])
async def test_volumes_come_and_go_while_it_waits(cloud: FrameCloud, choice: str) -> None:
    """Mechanism: a way back has the disks of the flavor, and of volumes what the record says by then."""
    handle = await server(cloud, "resize")
    had = row(cloud, handle).volumes or []
    with cloud.database.write() as session:
        found = session.get(Instance, instance_of(handle))
        assert found is not None
        swap = {"kind": "swap", "size_mb": 64, "device": "vdx"}
        found.local_disks = [swap]
        session.add(found)
    await resized(cloud, handle)
    assert row(cloud, handle).local_disks == []
    with pytest.raises(ServiceError, match="vdx"):
        action, wanted = request(cloud, handle, "attach_volume")
        await cloud.ops.start(action, wanted.model_copy(update={"body": {**wanted.body, "device": "/dev/vdx"}}))
    await cloud.end(handle)
    assert await do(cloud, handle, "attach_volume") is None
    assert row(cloud, handle).vm_state == "resized"
    now = row(cloud, handle).volumes or []
    assert len(now) == len(had) + 1
    assert await do(cloud, handle, choice) is None
    assert row(cloud, handle).vm_state == "active" and row(cloud, handle).volumes == now
    assert bool(row(cloud, handle).local_disks) == (choice == "revertResize")
    assert await cloud.leaks() == []
    await drop(cloud, handle)


async def test_both_flavors_are_held_until_one_is_chosen(cloud: FrameCloud) -> None:
    for choice, left, status in (("confirmResize", (2, 128), "confirmed"), ("revertResize", (1, 64), "reverted")):
        handle = await server(cloud, "resize")
        await resized(cloud, handle)
        assert held(cloud, handle) == {"instance": (2, 128), "migration": (1, 64)}
        assert row(cloud, handle).flavor["name"] == "bigger"
        assert await do(cloud, handle, choice) is None
        assert held(cloud, handle) == {"instance": left}
        assert (row(cloud, handle).vcpus, row(cloud, handle).memory_mb) == left
        assert ends(cloud, handle) == [status]
        await drop(cloud, handle)


async def test_a_stopped_server_is_stopped_afterwards(cloud: FrameCloud) -> None:
    for choice in ("confirmResize", "revertResize"):
        handle = await server(cloud, "os-start")
        await resized(cloud, handle)
        assert await do(cloud, handle, choice) is None
        assert (row(cloud, handle).vm_state, row(cloud, handle).power_state) == ("stopped", 4)
        await drop(cloud, handle)


async def test_a_rebuilt_server_that_was_stopped_is_stopped(cloud: FrameCloud) -> None:
    handle = await server(cloud, "os-start")
    assert await do(cloud, handle, "rebuild") is None
    assert (row(cloud, handle).vm_state, row(cloud, handle).power_state) == ("stopped", 4)
    await drop(cloud, handle)


async def test_over_quota_and_without_room_it_is_refused(cloud: FrameCloud) -> None:
    handle = await server(cloud, "resize")
    huge = {"flavor": {"id": "huge", "name": "huge", "vcpus": 10**6, "ram": 64}}
    for more, status, words in (
        ({"quota": {"cores": 0}}, 403, "Quota exceeded for cores: Requested 1, but already used"),
        (huge, 400, "No valid host found for resize"),
    ):
        cloud.faults.arm()
        with pytest.raises(ServiceError, match=words) as refusal:
            await cloud.ops.start(*asking(cloud, handle, **more))
        assert refusal.value.status == status
        assert await cloud.end(handle) is not None
        assert held(cloud, handle) == {"instance": (1, 64)}
        assert (row(cloud, handle).vm_state, row(cloud, handle).task_state) == ("active", None)
    await drop(cloud, handle)


async def test_what_counts_is_what_the_servers_project_has(cloud: FrameCloud) -> None:
    """And not that of the administrator who asks, who has nothing of his own."""
    handle = await server(cloud, "resize")
    with cloud.database.read() as session:
        used = usage.used(session, cloud.project)["cores"]
    action, asked = asking(cloud, handle, quota={"cores": used})
    elsewhere = asked.requester.model_copy(update={"project_id": "another"})
    cloud.faults.arm()
    with pytest.raises(ServiceError, match=f"already used {used} of {used} cores"):
        await cloud.ops.start(action, asked.model_copy(update={"requester": elsewhere}))
    assert await cloud.end(handle) is not None
    await drop(cloud, handle)


async def test_it_goes_to_another_host_when_its_own_has_no_room(cloud: FrameCloud) -> None:
    """Its own comes first, unless it is disabled; where what it has cannot be taken along it stays."""
    handle = await server(cloud, "resize")
    home = row(cloud, handle).host
    await resized(cloud, handle)
    assert row(cloud, handle).host == home
    assert await do(cloud, handle, "revertResize") is None
    with cloud.database.write() as session:
        session.execute(update(Service).where(col(Service.host) == home).values(disabled=True))
    try:
        await resized(cloud, handle)
        assert row(cloud, handle).host != home and set(cloud.claims_of(instance_of(handle))) == set(HOSTS)
        assert await do(cloud, handle, "revertResize") is None
        assert row(cloud, handle).host == home and set(cloud.claims_of(instance_of(handle))) == {home}
        able = {host: sorted(OF_THIS_RELEASE - ({CARRIES} if host != home else set())) for host in HOSTS}
        abilities_are(cloud, able)
        await resized(cloud, handle)
        assert row(cloud, handle).host == home, "an ephemeral disk cannot be taken along"
        assert await do(cloud, handle, "revertResize") is None
        cloud.faults.arm()
        with pytest.raises(ServiceError, match="No valid host found for resize"):
            await cloud.ops.start(*asking(cloud, handle, same_host=False))
        await cloud.end(handle)
    finally:
        with cloud.database.write() as session:
            session.execute(update(Service).where(col(Service.host) == home).values(disabled=False))
        abilities_are(cloud, dict.fromkeys(HOSTS, sorted(OF_THIS_RELEASE)))
    await drop(cloud, handle)


def abilities_are(cloud: FrameCloud, of: dict[str, list[str]]) -> None:
    with cloud.database.write() as session:
        for host, able in of.items():
            told = update(ComputeNode).where(col(ComputeNode.host) == host)
            session.execute(told.values(facts={"abilities": able}))


async def test_a_move_that_was_ended_from_outside_is_none(cloud: FrameCloud) -> None:
    """Mechanism: `resizes.give_up`. The record has its old flavor, so the guest is where its resize found it."""
    handle = await server(cloud, "resize")
    home = row(cloud, handle).host
    await resized(cloud, handle, same_host=False)
    there = row(cloud, handle).host
    for flavor, at in ((row(cloud, handle).flavor, there), ({**row(cloud, handle).flavor, "id": "tiny"}, home)):
        with cloud.database.write() as session:
            session.get_one(Instance, instance_of(handle)).flavor = flavor
            session.flush()
            assert resizes.give_up(session, instance_of(handle))
            assert session.get_one(Allocation, instance_of(handle)).host == at
            session.rollback()
    await drop(cloud, handle)


@pytest.mark.parametrize(("choice", "left"), [("confirmResize", (2, 128)), ("revertResize", (1, 64))])
async def test_a_choice_that_failed_after_its_claim_may_be_made_again(
    cloud: FrameCloud, choice: str, left: tuple[int, int]
) -> None:
    """Mechanism: ENDED_BY. The claim had ended the migration, and both choices were refused from then on."""
    handle = await server(cloud, "resize")
    await resized(cloud, handle)
    cloud.faults.arm(fail_before="end_action", times=1)
    await cloud.ops.start(*request(cloud, handle, choice))
    assert "injected at end_action" in str(await cloud.end(handle))
    assert (row(cloud, handle).vm_state, row(cloud, handle).task_state) == ("resized", None)
    assert await do(cloud, handle, choice) is None
    assert (row(cloud, handle).vm_state, held(cloud, handle)) == ("active", {"instance": left})
    await drop(cloud, handle)


async def test_what_a_resize_holds_goes_once_nobody_can_confirm_it(cloud: FrameCloud) -> None:
    """Mechanism: the audit. An operation that was ended from outside, or a reset of the state, left it."""
    handle = await server(cloud, "resize")
    await resized(cloud, handle)
    new, records = held(cloud, handle)["instance"], AuditedRecords(cloud.database)
    lost = Finding(kind="allocation", instance_id=instance_of(handle), host=row(cloud, handle).host or "", what=RESIZE)
    assert not records.forget(lost) and len(held(cloud, handle)) == 2, "it waits, and is its owner's to confirm"
    with cloud.database.write() as session:
        session.get_one(Instance, instance_of(handle)).vm_state = "active"
    (seen,) = records.by_id([instance_of(handle)])
    assert [(f.what, f.host) for f in leftovers.allocation(World(servers={seen.id: seen}))] == [(RESIZE, lost.host)]
    assert records.forget(lost) and not records.forget(lost)
    assert held(cloud, handle) == {"instance": new} and ends(cloud, handle) == ["error"]
    assert (row(cloud, handle).vcpus, row(cloud, handle).memory_mb) == new
    await resized(cloud, handle, flavor={**row(cloud, handle).flavor, "id": "larger", "ram": new[1] + 64})
    assert await do(cloud, handle, "confirmResize") is None
    assert held(cloud, handle) == {"instance": (new[0], new[1] + 64)}
    await drop(cloud, handle)
