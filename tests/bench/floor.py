"""The floor: a workflow of a boot's shape whose steps do nothing, on the same Temporal, in the same run."""

import asyncio
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from pydantic import BaseModel
from temporalio import activity, workflow
from temporalio.client import Client, GrpcCompression, WithStartWorkflowOperation
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

SHORT = timedelta(seconds=10)
FLOOR_QUEUE, HOST_QUEUE = "floor", "floor.host"


class Request(BaseModel):
    id: str


@activity.defn
def nothing(request: Request) -> Request:
    return request


@workflow.defn
class BareBoot:
    """Four local steps, one step on a host (the image), one more (spawn), one local step: as a boot without NICs."""

    on_host = 2

    def __init__(self) -> None:
        self._accepted = False

    @workflow.run
    async def run(self, request: Request) -> None:
        await self.steps(request)

    async def steps(self, request: Request) -> None:
        for number in range(4):
            await workflow.execute_local_activity(nothing, request, start_to_close_timeout=SHORT)
            self._accepted = self._accepted or number == 1
        for _ in range(self.on_host):
            await workflow.execute_activity(nothing, request, start_to_close_timeout=SHORT, task_queue=HOST_QUEUE)
        await workflow.execute_local_activity(nothing, request, start_to_close_timeout=SHORT)

    @workflow.update
    async def accepted(self) -> str:
        await workflow.wait_condition(lambda: self._accepted)
        return "ok"


@workflow.defn
class BareBuild(BareBoot):
    """The same with one step on the host: as a boot on one that has its image."""

    on_host = 1

    @workflow.run
    async def run(self, request: Request) -> None:
        await self.steps(request)


@workflow.defn
class BareAction:
    """A local step, one on a host, a local step: as a stop, a pause, or an attachment."""

    def __init__(self) -> None:
        self._accepted = False

    @workflow.run
    async def run(self, request: Request) -> None:
        await workflow.execute_local_activity(nothing, request, start_to_close_timeout=SHORT)
        self._accepted = True
        await workflow.execute_activity(nothing, request, start_to_close_timeout=SHORT, task_queue=HOST_QUEUE)
        await workflow.execute_local_activity(nothing, request, start_to_close_timeout=SHORT)

    @workflow.update
    async def accepted(self) -> str:
        await workflow.wait_condition(lambda: self._accepted)
        return "ok"


Bare = type[BareBoot] | type[BareAction]


async def boot(client: Client, id: str, shape: Bare = BareBoot) -> WithStartWorkflowOperation:
    start = WithStartWorkflowOperation(
        shape.run,
        Request(id=id),
        id=id,
        task_queue=FLOOR_QUEUE,
        id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
    )
    await client.execute_update_with_start_workflow(shape.accepted, start_workflow_operation=start)
    return start


async def serve(address: str) -> None:
    """Both workers of the floor, until standard input ends."""
    client = await Client.connect(
        address, data_converter=pydantic_data_converter, grpc_compression=GrpcCompression.NONE
    )
    with ThreadPoolExecutor(16) as pool:
        control = Worker(
            client,
            task_queue=FLOOR_QUEUE,
            workflows=[BareBoot, BareBuild, BareAction],
            activities=[nothing],
            activity_executor=pool,
            workflow_runner=UnsandboxedWorkflowRunner(),
        )
        host = Worker(client, task_queue=HOST_QUEUE, activities=[nothing], activity_executor=pool)
        async with control, host:
            print("ready", flush=True)
            await asyncio.to_thread(sys.stdin.read)
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1]))
