"""Starts the operations that nobody waits for: those of timers."""

from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError

from infra import logs
from infra.contracts.later import Due
from infra.contracts.search import REQUEST_KEY, attributes_of
from infra.temporal import CONTROL_QUEUE, server_workflow_id

TIMER = "BeginLater"
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
