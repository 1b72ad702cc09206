"""A client whose workflows have short tasks, so that a test that holds a local activity waits a second, not sixteen."""

from datetime import timedelta
from typing import Any

from temporalio.client import (
    Client,
    Interceptor,
    OutboundInterceptor,
    StartWorkflowInput,
    StartWorkflowUpdateWithStartInput,
    WorkflowHandle,
    WorkflowUpdateHandle,
)

TASK = timedelta(seconds=2)
"""A task with a running local activity is ended, and takes updates and signals, at 80 % of it (Temporal: 10 s)."""


class ShortTasks(Interceptor):
    def intercept_client(self, next: OutboundInterceptor) -> OutboundInterceptor:
        return _Outbound(next)


class _Outbound(OutboundInterceptor):
    async def start_workflow(self, input: StartWorkflowInput) -> WorkflowHandle[Any, Any]:
        input.task_timeout = TASK
        return await super().start_workflow(input)

    async def start_update_with_start_workflow(
        self, input: StartWorkflowUpdateWithStartInput
    ) -> WorkflowUpdateHandle[Any]:
        input.start_workflow_input.task_timeout = TASK
        return await super().start_update_with_start_workflow(input)


def with_short_tasks(client: Client) -> Client:
    config = client.config()
    config["interceptors"] = [*config["interceptors"], ShortTasks()]
    return Client(**config)
