"""Random walks over the table of actions: whatever is asked in whatever state, the server rests in one of its states,
nothing runs that nobody finishes, and what is refused changes nothing."""

import random

import pytest

from api.common.errors import ServiceError
from api.compute.views.states import STATES
from infra.tables.compute import Instance
from tests.frame.cloud import FrameCloud
from tests.frame.test_actions import request
from tests.workflows.servers import instance_of
from workflows.actions import ACTIONS

pytestmark = pytest.mark.asyncio(loop_scope="session")
STEPS = 12


def row(cloud: FrameCloud, handle: object) -> Instance:
    found = cloud.record(handle)  # type: ignore[arg-type]
    assert found is not None
    return found


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_no_walk_leaves_the_table(cloud: FrameCloud, seed: int) -> None:
    dice = random.Random(seed)
    handle = await cloud.boot()
    assert await cloud.end(handle) is None
    taken: list[str] = []
    for _ in range(STEPS):
        name = dice.choice(sorted(ACTIONS))
        before = row(cloud, handle)
        action, wanted = request(cloud, handle, name)
        cloud.faults.arm(**({"fail_before": "end_action"} if dice.random() < 0.2 else {}))
        allowed = before.vm_state in wanted.transition.allowed
        try:
            await cloud.ops.start(action, wanted)
            taken.append(name)
            assert allowed, (name, before.vm_state, taken)
        except ServiceError as refused:
            assert refused.status in (400, 403, 404, 409), (name, taken)
        await cloud.end(handle)
        after = row(cloud, handle)
        assert after.vm_state in STATES and after.task_state is None, (name, taken)
        if not allowed:
            assert after.vm_state == before.vm_state, (name, taken)
        assert await cloud.leaks() == [], (name, taken)
    assert taken, f"seed {seed} did nothing"
    cloud.faults.arm()
    await cloud.delete(handle)
    assert await cloud.end(handle) is None
    assert row(cloud, handle).vm_state == "deleted"
    assert await cloud.leaks() == []
    assert not [thing for thing in cloud.things.things() if instance_of(handle) in thing]
