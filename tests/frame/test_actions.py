"""Invariants of every action on a server, over the table of actions: a new row is tested without a line here."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import pytest
from temporalio.client import WithStartWorkflowOperation, WorkflowUpdateFailedError
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.exceptions import ApplicationError

from api.common.errors import ServiceError
from api.compute import operations
from infra.contracts.search import REQUEST_KEY
from infra.tables.compute import Instance
from infra.temporal import CONTROL_QUEUE
from tests import effort
from tests.frame.cloud import FrameCloud as Cloud
from tests.workflows.acting import Handle as Handle
from tests.workflows.acting import delete_at, do, request, server, starting
from tests.workflows.servers import instance_of
from tests.workflows.ways import WAYS, action_of
from workflows.actions import ACTIONS

pytestmark = pytest.mark.asyncio(loop_scope="session")
every_action = pytest.mark.parametrize("name", sorted(WAYS))
AT_ONCE = 6


def state(cloud: Cloud, handle: Handle) -> tuple[str, str | None]:
    record = cloud.record(handle)
    assert isinstance(record, Instance)
    return record.vm_state, record.task_state


KNOWN: dict[str, list[str]] = {}
"""Action → the steps of a run without a fault, once one test has made that run."""


async def steps(cloud: Cloud, name: str) -> list[str]:
    if name not in KNOWN:
        handle = await server(cloud, name)
        assert await do(cloud, handle, name) is None
        KNOWN[name] = cloud.faults.done
        assert state(cloud, handle) == (WAYS[name].ends, None)
        await drop(cloud, handle)
    return KNOWN[name]


async def drop(cloud: Cloud, handle: Handle) -> None:
    cloud.faults.arm()
    await cloud.drop(handle)
    assert await cloud.leaks() == []


async def together(cloud: Cloud, names: Iterable[str], case: Callable[[Cloud, str], Awaitable[None]]) -> None:
    """The case for each name, with faults of its own, several at a time: most of its time goes by while it is held."""
    room = asyncio.Semaphore(AT_ONCE)

    async def one(name: str) -> None:
        async with room:
            try:
                await case(cloud.apart(), name)
            except BaseException as error:
                error.add_note(f"at {name}")
                raise

    async with asyncio.TaskGroup() as group:
        for name in names:
            group.create_task(one(name))


@pytest.mark.turns
@every_action
@pytest.mark.parametrize("when", ["fail_before", "fail_after"])
@pytest.mark.usefixtures("quick")
async def test_a_failure_at_any_step_puts_the_server_back(cloud: Cloud, name: str, when: str) -> None:
    """A server goes on to the next step for as long as it has all that it had."""
    ran, handle = await steps(cloud, name), await server(cloud, name)
    after = ran[ran.index("end_action") + 1 :]
    for step in ran:
        before, there = state(cloud, handle), cloud.of(instance_of(handle))
        cloud.faults.arm(**{when: step}, times=1)
        try:
            await cloud.ops.start(*request(cloud, handle, name))
        except ServiceError:
            assert step in ("begin_action", *WAYS[name].refusing)
        error = await cloud.end(handle)
        if step in after:
            assert (error, state(cloud, handle)) == (None, (WAYS[name].ends, None)), step
        else:
            assert f"injected at {step}" in str(error), step
            if (when, step) != ("fail_after", "end_action"):
                assert state(cloud, handle) == before, step
        if step in (*after, "end_action") or cloud.of(instance_of(handle)) != there:
            await drop(cloud, handle)
            handle = await server(cloud, name)
    await drop(cloud, handle)


@pytest.mark.turns
@every_action
async def test_every_step_may_run_twice(cloud: Cloud, name: str) -> None:
    handle = await server(cloud, name)
    assert await do(cloud, handle, name, run_twice=True) is None
    assert state(cloud, handle) == (WAYS[name].ends, None)
    await drop(cloud, handle)


async def test_an_action_is_found_by_its_host_from_the_start(cloud: Cloud) -> None:
    """Mechanism: ActionRequest.host. The workflow told its host itself: one more event, and one more write, of each."""
    handle = await server(cloud, "pause")
    assert await do(cloud, handle, "pause") is None
    record, history = cloud.record(handle), await handle.fetch_history()
    begun = history.events[0].workflow_execution_started_event_attributes.search_attributes.indexed_fields
    assert record is not None and begun["HostName"].data.decode() == f'"{record.host}"'
    assert not [e for e in history.events if e.HasField("upsert_workflow_search_attributes_event_attributes")]
    await drop(cloud, handle)


@pytest.mark.turns
@every_action
@pytest.mark.usefixtures("quick")
async def test_a_delete_at_any_step_gets_through(cloud: Cloud, name: str) -> None:
    async def at(cloud: Cloud, step: str) -> None:
        handle = await server(cloud, name)
        await delete_at(cloud, handle, step, request(cloud, handle, name))
        assert state(cloud, handle)[0] == "deleted"
        assert await cloud.leaks() == []

    await together(cloud, dict.fromkeys(await steps(cloud, name)), at)


@pytest.mark.turns
@every_action
@pytest.mark.usefixtures("quick")
async def test_the_same_request_again_is_the_same_operation(cloud: Cloud, name: str) -> None:
    handle = await server(cloud, name)
    asks = cloud.requester()
    cloud.faults.arm()
    wanted = request(cloud, handle, name, asks)
    both = await asyncio.gather(cloud.ops.start(*wanted), cloud.ops.start(*wanted))
    assert both[0] == both[1]
    assert await cloud.end(handle) is None
    ran = list(cloud.faults.ran)
    await cloud.ops.start(*wanted)  # after its end: Temporal answers for it, or the record does
    assert await cloud.end(handle) is None
    assert set(cloud.faults.ran[len(ran) :]) <= {"begin_action"}
    await drop(cloud, handle)


async def test_a_request_that_temporal_has_forgotten_is_known_by_the_record(cloud: Cloud) -> None:
    """Mechanism: InstanceFacts.over. Without an update, it is as if Temporal had never seen the request."""
    handle = await server(cloud, "os-stop")
    cloud.faults.arm()
    action, wanted = request(cloud, handle, "os-stop")
    await cloud.ops.start(action, wanted)
    assert await cloud.end(handle) is None
    ran, start = len(cloud.faults.ran), action.workflow.__name__
    await cloud.client.execute_workflow(start, wanted, id=handle.id, task_queue=CONTROL_QUEUE)
    assert cloud.faults.ran[ran:] == ["begin_action"]
    assert state(cloud, handle) == ("stopped", None)
    await drop(cloud, handle)


@pytest.mark.usefixtures("quick")
async def test_another_request_during_any_action_is_refused(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operations, "QUEUE_S", 0.3)  # what waits its turn behind a change of a device

    async def during(cloud: Cloud, name: str) -> None:
        handle = await server(cloud, name)
        cloud.faults.arm(hold="end_action")
        asked = starting(cloud, handle, name)
        await asyncio.wait_for(cloud.faults.held.wait(), 20)
        doing = ACTIONS[action_of(name)].transition_for(WAYS[name].body).doing
        with pytest.raises(ServiceError, match=f"while it is in task_state {doing}"):
            await cloud.ops.start(*request(cloud, handle, "os-stop"))
        cloud.faults.release.set()
        await asked
        assert await cloud.end(handle) is None
        await drop(cloud, handle)

    await together(cloud, effort.of(sorted(WAYS)), during)


async def test_another_request_that_comes_with_the_start_is_told_what_is_done(cloud: Cloud) -> None:
    """Temporal hands both over at once, before the operation's first line: a wrong word would end the queueing."""
    handle = await server(cloud, "os-stop")
    cloud.faults.arm()
    action, wanted = request(cloud, handle, "os-stop")
    start: WithStartWorkflowOperation[Any, None] = WithStartWorkflowOperation(
        action.workflow.__name__,
        wanted,
        id=handle.id,
        task_queue=CONTROL_QUEUE,
        id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
        memo={REQUEST_KEY: "its own"},
    )
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await cloud.client.execute_update_with_start_workflow("accepted", "another", start_workflow_operation=start)
    assert isinstance(refused.value.cause, ApplicationError)
    assert refused.value.cause.details[0]["task_state"] == "powering-off"
    assert await cloud.end(handle) is None
    await drop(cloud, handle)


@pytest.mark.turns
@every_action
@pytest.mark.usefixtures("quick")
async def test_from_another_state_it_is_refused(cloud: Cloud, name: str) -> None:
    handle = await server(cloud, name)
    forbidden = next(s for s in ("building", "shelved") if s not in ACTIONS[action_of(name)].transition.allowed)
    with cloud.database.write() as session:
        row = session.get_one(Instance, instance_of(handle))
        was, row.vm_state = row.vm_state, forbidden
    action, wanted = request(cloud, handle, name)
    with pytest.raises(ServiceError, match=f"Cannot '{wanted.transition.verb}' .* in vm_state {forbidden}"):
        await cloud.ops.start(action, wanted)
    assert await cloud.end(handle) is not None
    with cloud.database.write() as session:
        session.get_one(Instance, instance_of(handle)).vm_state = was
    await drop(cloud, handle)
