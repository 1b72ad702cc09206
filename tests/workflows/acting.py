"""Actions on servers, as a test asks for them: the row of the table, with the body of its way."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from temporalio.client import WorkflowHandle

from infra.contracts.later import Due
from infra.contracts.operation import STEPS_OF, ActionRequest
from infra.contracts.requests import Cause, DeleteRequest, Requester
from tests.workflows.servers import Servers, instance_of
from tests.workflows.ways import SOFT_DELETE, WAYS, action_of
from workflows.action import Action
from workflows.actions import ACTIONS
from workflows.later import numbered
from workflows.requests import Accepted

Handle = WorkflowHandle[Any, Any]
OF_A_VOLUME = ("(boots from its volume)",)
LONG_S = 3600.0
"""A timer that no test waits for."""


def request(cloud: Servers, handle: Handle, name: str, asks: Requester | None = None) -> tuple[Action, ActionRequest]:
    action, body, record = ACTIONS[action_of(name)], body_of(cloud, handle, name), cloud.record(handle)
    return action, ActionRequest(
        requester=asks or cloud.requester(),
        instance_id=instance_of(handle),
        action=action_of(name),
        transition=action.transition_for(body),
        body=body,
        host=(record and record.host) or "",
        steps_of=STEPS_OF,
    )


def body_of(cloud: Servers, handle: Handle, name: str) -> dict[str, Any]:
    way, record = WAYS[name], cloud.record(handle)
    return way.body | (way.of(record) if way.of and record else {})


def starting(cloud: Servers, handle: Handle, name: str) -> "asyncio.Task[Accepted]":
    """The action asked for, whose answer comes at once or at its end, or is a refusal."""
    return begun(cloud, request(cloud, handle, name))


def begun(cloud: Servers, asked: tuple[Action, ActionRequest]) -> "asyncio.Task[Accepted]":
    task = asyncio.create_task(cloud.ops.start(*asked))
    task.add_done_callback(lambda done: done.cancelled() or done.exception())
    return task


async def delete_at(cloud: Servers, handle: Handle, step: str, asked: tuple[Action, ActionRequest]) -> None:
    """What was asked for is deleted while it is at the step; the delete gets through."""
    cloud.faults.arm(hold=step)
    begun(cloud, asked)
    await asyncio.wait_for(cloud.faults.held.wait(), 20)
    await cloud.delete(handle)
    cloud.faults.release.set()
    assert await cloud.end(handle) is None, step


async def do(cloud: Servers, handle: Handle, name: str, **faults: Any) -> BaseException | None:
    cloud.faults.arm(**faults)
    await cloud.ops.start(*request(cloud, handle, name))
    return await cloud.end(handle)


async def server(cloud: Servers, name: str) -> Handle:
    """A server in a state from which the action may begin."""
    if copied := cloud.copied(WAYS[name].before):
        return copied
    handle = await cloud.boot()
    assert await cloud.end(handle) is None
    for before in WAYS[name].before:
        if before == SOFT_DELETE:
            await cloud.delete(handle, reclaim_after_s=LONG_S)
            assert await cloud.end(handle) is None
            return handle  # never a model: Temporal has a timer for it
        assert await do(cloud, handle, before) is None
    cloud.keep(WAYS[name].before, handle)
    return handle


async def of_a_volume(cloud: Servers) -> Handle:
    """A server that boots from its volume."""
    if copied := cloud.copied(OF_A_VOLUME):
        return copied
    handle = await cloud.boot(cloud.request(image_id=""))
    assert await cloud.end(handle) is None
    cloud.keep(OF_A_VOLUME, handle)
    return handle


async def told(cloud: Servers, instance_id: str) -> list[dict[str, Any]]:
    """The steps of its operation, which a busy machine may not tell within a second."""
    async with asyncio.timeout(20):
        while not (steps := await cloud.ops.progress(instance_id)):
            await asyncio.sleep(0.05)
    return steps


def stop_due(cloud: Servers, handle: Handle, cause: str = "", after_s: float = 0) -> Due:
    """A stop that follows from the server's build, or from request `cause`."""
    action, wanted = request(cloud, handle, "os-stop")
    return due_of(cloud, handle, action.workflow.__name__, wanted, cause, after_s)


def due_of(
    cloud: Servers,
    handle: Handle,
    begins: str,
    wanted: ActionRequest | DeleteRequest,
    cause: str = "",
    after_s: float = 0,
) -> Due:
    record = cloud.record(handle)
    assert record is not None
    follows = Cause(event="create", request_id=cause or record.request_id, vm_state="active")
    due = Due(
        instance_id=record.id,
        at=datetime.now(UTC) + timedelta(seconds=after_s),
        cause=follows,
        workflow=begins,
        request=wanted.model_copy(update={"follows": follows}),
    )
    return numbered(due, 0)
