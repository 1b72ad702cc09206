"""What an operation on a server is doing right now: its steps, and how much those that run have moved."""

import asyncio
from typing import Any

from temporalio.client import Client, WorkflowHandle
from temporalio.service import RPCError

from infra.contracts.step import moved
from workflows.operation import Operation

PATIENCE_S = 1.0


async def steps(client: Client, workflow_id: str) -> list[dict[str, Any]]:
    """Rows like ActionEvent's; [] when nothing answers within a second."""
    handle = client.get_workflow_handle(workflow_id)
    try:
        async with asyncio.timeout(PATIENCE_S):
            found = await handle.query(Operation.steps)
            told = await _told(client, handle) if any(step.result is None for step in found) else {}
    except (RPCError, TimeoutError):
        return []
    rows = [step.model_dump(exclude={"parts"}) for step in found]
    return [row if row["result"] else row | {"details": told.get(row["event"])} for row in rows]


async def _told(client: Client, handle: WorkflowHandle[Any, Any]) -> dict[str, str]:
    """By kind of step, what the last heartbeat of one that runs says of the bytes it moves."""
    told = {}
    for step in (await handle.describe()).raw_description.pending_activities:
        heartbeat = await client.data_converter.decode(step.heartbeat_details.payloads)
        if words := moved(next(iter(heartbeat), None)):
            told[step.activity_type.name] = words
    return told
