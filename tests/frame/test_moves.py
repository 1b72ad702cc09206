"""A resize to another host: one that cannot is left for the next, and with none left the server is where it was."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from datetime import datetime
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import delete, update
from sqlmodel import col, select
from temporalio.worker import Worker

from activities.step import Where
from infra.contracts.abilities import OF_THIS_RELEASE
from infra.tables.compute import ComputeNode, MigrationRecord, Service, now
from infra.temporal import compute_queue
from tests.frame.cloud import FrameCloud
from tests.frame.copies import Copies
from tests.frame.test_outages import ARRIVING, TWO_LOOKS_S, why
from tests.frame.test_resize import asking, row
from tests.frame.world import activities_on
from tests.workflows.acting import Handle, begun, do, request, server
from tests.workflows.servers import HOSTS, instance_of
from tests.workflows.ways import ELSEWHERE
from workers.build import build_id
from workers.interceptors import StepInterceptor

pytestmark = pytest.mark.asyncio(loop_scope="session")
MORE = ("node3", "node4")


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def more(cloud: FrameCloud) -> AsyncIterator[None]:
    """Two hosts more: there are three to go to. A server that went there is no model for other files' servers."""
    models, cloud.copies = cloud.copies, Copies(cloud.database, cloud.ring)
    with cloud.database.write() as session:
        for number, host in enumerate(MORE, len(HOSTS)):
            where: dict[str, Any] = {"binary": "nova-compute", "host": host, "zone": "nova", "number": number}
            session.add(Service(id=str(uuid.uuid4()), last_seen=datetime(2099, 1, 1), **where))
            capacity: dict[str, Any] = {"vcpus": 10_000, "memory_mb": 10**6, "disk_gb": 10**5}
            capacity["facts"] = {"abilities": sorted(OF_THIS_RELEASE)}
            session.add(ComputeNode(host=host, id=str(uuid.uuid4()), number=number, **capacity))
    async with AsyncExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(8))
        for host in MORE:
            worker = Worker(
                cloud.client,
                task_queue=compute_queue(host),
                activities=activities_on(cloud.things, host, Where.HOST),
                activity_executor=pool,
                interceptors=[cloud.faults, StepInterceptor(host)],
                build_id=build_id(),
            )
            await stack.enter_async_context(worker)
        yield
        await cloud.clear()
    with cloud.database.write() as session:
        session.execute(delete(Service).where(col(Service.host).in_(MORE)))
        session.execute(delete(ComputeNode).where(col(ComputeNode.host).in_(MORE)))
    cloud.copies = models


def silence(cloud: FrameCloud, host: str, silent: bool) -> None:
    seen = now().replace(year=2020 if silent else 2099)
    with cloud.database.write() as session:
        session.execute(update(Service).where(col(Service.host) == host).values(last_seen=seen))


def goes_to(cloud: FrameCloud, handle: Handle) -> str:
    mine = select(MigrationRecord.dest_compute).where(col(MigrationRecord.instance_id) == instance_of(handle))
    with cloud.database.read() as session:
        return session.exec(mine.order_by(col(MigrationRecord.number).desc())).first() or ""


def seen_on(cloud: FrameCloud, handle: Handle) -> set[str]:
    """Hosts that have anything of the server."""
    return {host for host, *_ in cloud.of(instance_of(handle)) if host}


def held_by(cloud: FrameCloud, handle: Handle) -> set[str]:
    """Hosts that have ports or attachments of the server, as the services know it."""
    return {host for (id, _), host in cloud.things.at.items() if id == instance_of(handle)}


@pytest.mark.turns
@pytest.mark.parametrize("step", ARRIVING)
@pytest.mark.parametrize("when", ["fail_before", "fail_after"])
async def test_a_host_that_cannot_is_left_for_the_next(cloud: FrameCloud, more: None, step: str, when: str) -> None:
    """Mechanism: each host is a saga of its own, undone before the claim goes on. Nothing is carried a second time."""
    handle = await server(cloud, ELSEWHERE)
    home = row(cloud, handle).host or ""
    assert await do(cloud, handle, ELSEWHERE, **{when: step}, kind="HostCannot", times=1) is None
    there = row(cloud, handle).host or ""
    ran = cloud.faults.ran
    assert (ran.count("claim_resize"), ran.count("leave_host"), ran.count("upload_snapshot")) == (2, 1, 2)
    assert there != home and set(cloud.claims_of(instance_of(handle))) == {home, there} == seen_on(cloud, handle)
    assert goes_to(cloud, handle) == there
    assert row(cloud, handle).local_disks and await cloud.leaks() == []
    assert await do(cloud, handle, "revertResize elsewhere") is None
    assert row(cloud, handle).host == home and seen_on(cloud, handle) == {home}
    await cloud.drop(handle)


@pytest.mark.turns
@pytest.mark.parametrize("step", ARRIVING)
async def test_a_host_that_falls_silent_is_left_for_the_next(cloud: FrameCloud, more: None, step: str) -> None:
    handle = await server(cloud, ELSEWHERE)
    home = row(cloud, handle).host or ""
    cloud.faults.arm(hold=step)
    begun(cloud, request(cloud, handle, ELSEWHERE))
    await asyncio.wait_for(cloud.faults.held.wait(), 20)
    lost = row(cloud, handle).host or ""
    silence(cloud, lost, True)
    try:
        await asyncio.sleep(TWO_LOOKS_S)
        cloud.faults.hold = None
        cloud.faults.release.set()
        assert await cloud.end(handle) is None
        there = row(cloud, handle).host or ""
        assert there not in (home, lost) and set(cloud.claims_of(instance_of(handle))) == {home, there}
        cloud.forget(lost, handle)
        assert await cloud.leaks() == [] and seen_on(cloud, handle) == {home, there}
    finally:
        silence(cloud, lost, False)
    await cloud.drop(handle)


@pytest.mark.parametrize("away", [False, True])
async def test_with_no_host_left_the_server_is_where_it_was(cloud: FrameCloud, more: None, away: bool) -> None:
    """At most three are tried, as of a build; `away`: there are fewer."""
    handle = await server(cloud, ELSEWHERE)
    home, things = row(cloud, handle).host or "", set(cloud.of(instance_of(handle)))
    silence(cloud, MORE[1], away)
    error = await do(cloud, handle, ELSEWHERE, fail_after="arrive", kind="HostCannot")
    silence(cloud, MORE[1], False)
    assert "No valid host was found" in str(error)
    assert "No valid host was found" in why(cloud, handle) and "injected at arrive" in why(cloud, handle)
    assert cloud.faults.ran.count("arrive") == (2 if away else 3)
    found = row(cloud, handle)
    assert (found.host, found.vm_state, found.task_state, found.power_state) == (home, "active", None, 1)
    assert set(cloud.claims_of(instance_of(handle))) == {home}
    assert set(cloud.of(instance_of(handle))) == things and await cloud.leaks() == []
    await cloud.drop(handle)


async def test_what_another_host_would_not_better_ends_it(cloud: FrameCloud, more: None) -> None:
    handle = await server(cloud, ELSEWHERE)
    home = row(cloud, handle).host
    assert "injected at fetch_to_host" in str(await do(cloud, handle, ELSEWHERE, fail_before="fetch_to_host"))
    assert cloud.faults.ran.count("fetch_to_host") == 1 and row(cloud, handle).host == home
    await cloud.drop(handle)


async def test_a_delete_between_two_hosts_gets_through(cloud: FrameCloud, more: None) -> None:
    handle = await server(cloud, ELSEWHERE)
    cloud.faults.arm(fail_before="arrive", kind="HostCannot", hold="part_volumes")
    begun(cloud, request(cloud, handle, ELSEWHERE))
    await asyncio.wait_for(cloud.faults.held.wait(), 20)
    await cloud.delete(handle)
    cloud.faults.release.set()
    assert await cloud.end(handle) is None
    assert row(cloud, handle).vm_state == "deleted" and cloud.of(instance_of(handle)) == []


async def test_a_delete_ends_what_an_arrival_left_that_could_not_be_undone(cloud: FrameCloud, more: None) -> None:
    """Mechanism: the number of the claim in a delete's undos, and `resizes.left`. The server's host left alone what
    another one had, and nobody looked there."""
    handle = await server(cloud, ELSEWHERE)
    home = row(cloud, handle).host or ""
    cloud.faults.arm(hold="arrive", fail_before="come_back")
    begun(cloud, request(cloud, handle, ELSEWHERE))
    await asyncio.wait_for(cloud.faults.held.wait(), 20)
    lost = row(cloud, handle).host or ""
    others = {*HOSTS, *MORE} - {home}
    for host in others:
        silence(cloud, host, True)
    await asyncio.sleep(TWO_LOOKS_S)
    cloud.faults.release.set()
    assert "not undone: come_back" in str(await cloud.end(handle))
    for host in others:
        silence(cloud, host, False)
    assert row(cloud, handle).host == home and set(cloud.claims_of(instance_of(handle))) == {home} != {lost}
    assert held_by(cloud, handle) == {lost} and seen_on(cloud, handle) == {home, lost}
    cloud.faults.arm()
    await cloud.delete(handle)
    assert await cloud.end(handle) is None and cloud.of(instance_of(handle)) == []
    assert "release_services" not in cloud.faults.ran


async def test_a_delete_ends_what_a_revert_left_half_way(cloud: FrameCloud) -> None:
    """The host that was left has ports and volumes again, and the record says the other one."""
    handle = await server(cloud, "revertResize elsewhere")
    there = row(cloud, handle).host
    assert "come_back" in str(await do(cloud, handle, "revertResize elsewhere", fail_after="come_back"))
    assert row(cloud, handle).host == there and there not in held_by(cloud, handle)
    cloud.faults.arm()
    await cloud.delete(handle)
    assert await cloud.end(handle) is None and cloud.of(instance_of(handle)) == []


async def test_a_request_of_before_tries_one_host_and_takes_no_ephemeral_disk(cloud: FrameCloud, more: None) -> None:
    """Mechanism: `steps_of`. What is in flight goes on with the steps that it has."""
    handle = await server(cloud, ELSEWHERE)
    home = row(cloud, handle).host
    action, wanted = asking(cloud, handle)
    cloud.faults.arm()
    with cloud.database.write() as session:
        session.execute(update(Service).where(col(Service.host) == home).values(disabled=True))
    try:
        await cloud.ops.start(action, wanted.model_copy(update={"steps_of": 1}))
        assert await cloud.end(handle) is None and row(cloud, handle).host == home
        assert await do(cloud, handle, "revertResize") is None
        with cloud.database.write() as session:
            found = session.get_one(type(row(cloud, handle)), instance_of(handle))
            found.local_disks = []
        action, wanted = asking(cloud, handle)
        cloud.faults.arm(fail_before="arrive", kind="HostCannot", times=1)
        await cloud.ops.start(action, wanted.model_copy(update={"steps_of": 1}))
        assert "injected at arrive" in str(await cloud.end(handle)) and row(cloud, handle).host == home
    finally:
        with cloud.database.write() as session:
            session.execute(update(Service).where(col(Service.host) == home).values(disabled=False))
    await cloud.drop(handle)
