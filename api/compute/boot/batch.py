"""Starting the servers of one request together: all of them, or none."""

import asyncio

from api.common.errors import ServiceError
from api.compute.contract import Operations
from workflows.requests import Accepted, BootRequest, DeleteRequest

AT_ONCE = 16


async def boot_all(operations: Operations, requests: list[BootRequest], minimum: int) -> list[Accepted]:
    """The accepted ones, in order. When fewer than `minimum` are accepted, or one is refused for another reason than
    the quota, those already accepted are deleted and the first refusal is raised."""
    if len(requests) == 1:
        return [await operations.boot(requests[0])]
    gate = asyncio.Semaphore(AT_ONCE)

    async def boot(request: BootRequest) -> Accepted:
        async with gate:
            return await operations.boot(request)

    answers = await asyncio.gather(*(boot(request) for request in requests), return_exceptions=True)
    accepted = [answer for answer in answers if isinstance(answer, Accepted)]
    refusals = [answer for answer in answers if isinstance(answer, BaseException)]
    over_quota = all(isinstance(refusal, ServiceError) and refusal.status == 403 for refusal in refusals)
    if refusals and not (over_quota and len(accepted) >= minimum):
        await asyncio.gather(
            *(
                operations.delete(DeleteRequest(requester=requests[0].requester, instance_id=each.instance_id))
                for each in accepted
            )
        )
        raise refusals[0]
    return accepted
