"""Actions on servers, as a test asks for them: the row of the table, with the body of its way."""

from datetime import UTC, datetime, timedelta
from typing import Any

from temporalio.client import WorkflowHandle

from infra.contracts.later import Due
from infra.contracts.operation import ActionRequest
from infra.contracts.requests import Cause, DeleteRequest, Requester
from tests.workflows.servers import Servers, instance_of
from tests.workflows.ways import WAYS
from workflows.actions import ACTIONS, Action
from workflows.later import numbered

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
