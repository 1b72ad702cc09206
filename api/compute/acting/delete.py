"""Deletes of servers, by DELETE and by `forceDelete`."""

from fastapi.concurrency import run_in_threadpool
from sqlalchemy import RowMapping

from api.compute.call import ComputeCall
from api.compute.records import instances
from workflows.requests import DeleteRequest


async def delete(call: ComputeCall, row: RowMapping, reclaim_after_s: float = 0) -> None:
    """409 when the server is locked. With `reclaim_after_s` it can be restored for so many seconds."""
    instances.require_unlocked(call, row)
    request = DeleteRequest(requester=call.requester, instance_id=row["id"], reclaim_after_s=reclaim_after_s)
    await call.operations.delete(request)
    await run_in_threadpool(instances.show_deleting, call, row, reclaim_after_s)
