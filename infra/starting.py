"""Starts the operations that nobody asked for: those of timers, and of looks at other services."""

import uuid
from datetime import timedelta
from typing import Any

from temporalio.client import Client, WorkflowFailureError
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError

from infra import logs
from infra.contracts.following import Begins, ServerAtRest
from infra.contracts.later import Due
from infra.contracts.operation import STEPS_OF, ActionRequest
from infra.contracts.requests import Requester
from infra.contracts.search import REQUEST_KEY, attributes_of
from infra.temporal import CONTROL_QUEUE, server_workflow_id

TIMER = "BeginLater"
GRACE_S = 60.0
"""What an operation whose time is over may take to end."""
log = logs.get(__name__)


def timer_id(due: Due) -> str:
    """Workflow id of the timer: one for each cause."""
    return f"later-{due.instance_id}-{due.cause.request_id}"


class Starter:
    def __init__(self, client: Client) -> None:
        self._client = client

    async def set_timer(self, due: Due) -> None:
        """See `activities.later.Later.set_timer`."""
        try:
            await self._client.start_workflow(
                TIMER,
                due,
                id=timer_id(due),
                task_queue=CONTROL_QUEUE,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                static_summary=f"{due.workflow} after {due.cause.event}, at {due.at:%Y-%m-%d %H:%M:%S} UTC",
                search_attributes=attributes_of(due.instance_id, due.request.requester),
            )
        except WorkflowAlreadyStartedError:
            return

    async def begin(self, due: Due) -> None:
        """See `activities.later.Later.begin_due`."""
        request_id = due.request.requester.request_id
        try:
            await self._client.start_workflow(
                due.workflow,
                due.request,
                id=server_workflow_id(due.instance_id),
                task_queue=CONTROL_QUEUE,
                id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
                id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
                static_summary=f"{due.workflow} after {due.cause.event}, by its timer",
                static_details=f"server {due.instance_id}, request {request_id}",
                search_attributes=attributes_of(due.instance_id, due.request.requester),
                memo={REQUEST_KEY: f"later {request_id}"},
            )
        except WorkflowAlreadyStartedError:
            log.info("busy, looked at again later", instance_id=due.instance_id, workflow=due.workflow)

    async def carried_out(self, begins: Begins, server: ServerAtRest, body: dict[str, Any]) -> bool:
        """Have the action be done to the server, unless another operation runs; whether it was. It is shown as asked
        for by the server's owner, has no token, and holds the server no longer than its deadline."""
        requester = Requester(
            token="", user_id=server.user_id, project_id=server.project_id, request_id=f"req-{uuid.uuid4()}"
        )
        request = ActionRequest(
            requester=requester,
            instance_id=server.id,
            action=begins.action,
            transition=begins.transition,
            body=body,
            deadline_s=begins.deadline_s,
            host=server.host,
            steps_of=STEPS_OF,
        )
        try:
            handle: Any = await self._client.start_workflow(
                begins.workflow,
                request,
                id=server_workflow_id(server.id),
                task_queue=CONTROL_QUEUE,
                id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
                id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
                static_summary=f"{begins.workflow} by a look at the service",
                static_details=f"server {server.id}, request {requester.request_id}",
                search_attributes=attributes_of(server.id, requester, server.host),
                memo={REQUEST_KEY: f"look {requester.request_id}"},
            )
            await handle.result(rpc_timeout=timedelta(seconds=begins.deadline_s + GRACE_S))
        except WorkflowAlreadyStartedError:
            return False
        except (WorkflowFailureError, RPCError, TimeoutError) as error:
            log.warning("not followed", instance_id=server.id, workflow=begins.workflow, error=str(error))
            return False
        return True
