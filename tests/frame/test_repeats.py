"""Requests with an Idempotency-Key that are sent again."""

import pytest

from api.common.errors import ServiceError
from infra.temporal import server_workflow_id
from tests.frame.cloud import FrameCloud

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_refused_request_may_be_sent_again_with_its_key(cloud: FrameCloud) -> None:
    """Mechanism: the second id of the update in Operations.boot; Temporal keeps the first one's refusal."""
    stale = cloud.requester().model_copy(update={"token": "revoked"})
    request = cloud.request(repeatable=True, digest="d1", requester=stale)
    for _ in range(2):
        with pytest.raises(ServiceError) as refused:
            await cloud.ops.boot(request)
        assert refused.value.status == 401
    good = request.model_copy(update={"requester": cloud.requester()})
    first = await cloud.ops.boot(good)
    again = await cloud.ops.boot(good.model_copy(update={"requester": cloud.requester()}))
    assert first == again
    boot = cloud.client.get_workflow_handle(server_workflow_id(request.instance_id))
    assert await cloud.end(boot) is None
    record = cloud.record(boot)
    assert record and record.vm_state == "active"
