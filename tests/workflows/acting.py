"""Actions on servers, as a test asks for them: the row of the table, with the body of its way."""

from typing import Any

from temporalio.client import WorkflowHandle

from infra.contracts.operation import ActionRequest
from infra.contracts.requests import Requester
from tests.workflows.servers import Servers, instance_of
from tests.workflows.ways import WAYS
from workflows.actions import ACTIONS, Action

Handle = WorkflowHandle[Any, Any]


def request(cloud: Servers, handle: Handle, name: str, asks: Requester | None = None) -> tuple[Action, ActionRequest]:
    action, body = ACTIONS[name], WAYS[name].body
    return action, ActionRequest(
        requester=asks or cloud.requester(),
        instance_id=instance_of(handle),
        action=name,
        transition=action.transition_for(body),
        body=body,
    )


async def do(cloud: Servers, handle: Handle, name: str, **faults: Any) -> BaseException | None:
    cloud.faults.arm(**faults)
    await cloud.ops.start(*request(cloud, handle, name))
    return await cloud.end(handle)


async def server(cloud: Servers, name: str) -> Handle:
    """A server in a state from which the action may begin."""
    handle = await cloud.boot()
    assert await cloud.end(handle) is None
    for before in WAYS[name].before:
        assert await do(cloud, handle, before) is None
    return handle
