"""Temporal's own Reset, as an operator asks for it in the Web UI."""

from typing import Any

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import EventType
from temporalio.api.workflowservice.v1 import ResetWorkflowExecutionRequest
from temporalio.client import WorkflowHandle

from tests.workflows.servers import Servers

COMPLETED = EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED


async def reset(cloud: Servers, of: WorkflowHandle[Any, Any], run_id: str, event_id: int) -> None:
    await cloud.client.workflow_service.reset_workflow_execution(
        ResetWorkflowExecutionRequest(
            namespace=cloud.settings.temporal_namespace,
            workflow_execution=WorkflowExecution(workflow_id=of.id, run_id=run_id),
            reason="test",
            workflow_task_finish_event_id=event_id,
            request_id=f"{run_id}-{event_id}",
        )
    )


async def points(cloud: Servers, of: WorkflowHandle[Any, Any]) -> tuple[str, list[int]]:
    """The newest run, and the workflow tasks that it can be reset to."""
    newest = cloud.client.get_workflow_handle(of.id)
    run_id = (await newest.describe()).run_id
    events = [e.event_id async for e in newest.fetch_history_events() if e.event_type == COMPLETED]
    return run_id, [events[0], events[len(events) // 2], events[-1]]
