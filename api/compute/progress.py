"""What an operation on a server is doing right now: its steps, and how much those that run have moved."""

import asyncio
from typing import Any

from temporalio.client import Client, WorkflowHandle
from temporalio.service import RPCError

from infra.contracts.step import in_bytes, moved
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


async def percent(client: Client, workflow_id: str) -> int:
    """Of the bytes that its running steps are to move, how many are moved; 0 when they move none, nobody knows how
    many they are, or nothing answers within a second."""
    done = of = 0
    try:
        async with asyncio.timeout(PATIENCE_S):
            for _, heartbeat in await _heartbeats(client, client.get_workflow_handle(workflow_id)):
                if bytes_of := in_bytes(heartbeat):
                    done, of = done + bytes_of[0], of + bytes_of[1]
    except (RPCError, TimeoutError):
        return 0
    return 100 * done // of if of else 0


async def _told(client: Client, handle: WorkflowHandle[Any, Any]) -> dict[str, str]:
    """By kind of step, what the last heartbeat of one that runs says of the bytes it moves."""
    found = await _heartbeats(client, handle)
    return {step: words for step, heartbeat in found if (words := moved(heartbeat))}


async def _heartbeats(client: Client, handle: WorkflowHandle[Any, Any]) -> list[tuple[str, object]]:
    """Kind of each step that runs on a host, and what its last heartbeat says."""
    found = []
    for step in (await handle.describe()).raw_description.pending_activities:
        heartbeat = await client.data_converter.decode(step.heartbeat_details.payloads)
        found.append((step.activity_type.name, next(iter(heartbeat), None)))
    return found
