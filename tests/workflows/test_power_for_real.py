"""Actions on a guest with the real steps on libvirt's test driver; in tests/frame the steps are made up."""

import pytest

from infra.contracts.operation import ActionRequest
from tests.workflows.cloud import Cloud
from tests.workflows.servers import instance_of
from tests.workflows.ways import WAYS
from workflows.actions import ACTIONS

pytestmark = pytest.mark.asyncio(loop_scope="session")
WALK = ("os-stop", "os-start", "pause", "unpause", "suspend", "resume", "reboot", "trigger_crash_dump")
WALK += ("changePassword", "rescue", "unrescue")


async def test_every_power_action(cloud: Cloud) -> None:
    boot = await cloud.boot()
    assert await cloud.end(boot) is None
    for name in WALK:
        action, body = ACTIONS[name], WAYS[name].body
        request = ActionRequest(
            requester=cloud.requester(),
            instance_id=instance_of(boot),
            action=name,
            transition=action.transition_for(body),
            body=body,
        )
        await cloud.ops.start(action, request)
        assert await cloud.end(boot) is None, name
        record = cloud.record(boot)
        assert record and (record.vm_state, record.task_state) == (WAYS[name].ends, None), name
    assert (await cloud.ops.diagnostics(instance_of(boot))).state == "running"
    await cloud.delete(boot)
    await cloud.end(boot)
