"""Random walks over the table of states: whatever is asked in whatever state, the server passes and rests only as the
table says, nothing runs that nobody finishes, and what is refused changes nothing."""

import random

import pytest

from api.common.errors import ServiceError
from infra.contracts.states import BUILDING, RESTING, at_rest
from infra.tables.compute import Instance
from tests.frame.cloud import FrameCloud
from tests.frame.test_actions import request
from tests.workflows.servers import instance_of
from tests.workflows.ways import WAYS, action_of
from workflows.actions import ACTIONS
from workflows.states import PASSING, Passing, known, shown

pytestmark = pytest.mark.asyncio(loop_scope="session")
STEPS = 12


def row(cloud: FrameCloud, handle: object) -> Instance:
    found = cloud.record(handle)  # type: ignore[arg-type]
    assert found is not None
    return found


def passing(name: str, task_state: str) -> Passing:
    return next(row for row in PASSING[task_state] if row.operation == name)


async def test_every_row_leads_from_states_of_the_table_to_states_of_it() -> None:
    for rows in PASSING.values():
        for each in rows:
            assert each.begins and each.begins <= {BUILDING, *RESTING}, each
            assert each.ends <= RESTING.keys() and each.fails <= RESTING.keys(), each
            assert each.shows_from <= each.begins, each
    assert {each.operation for rows in PASSING.values() for each in rows} == {"create", "delete", *ACTIONS}
    assert not known("active", "dreaming") and not known(BUILDING, None)
    assert shown()["active"] | {"rebuilding": "REBUILD", "": "ACTIVE"} == shown()["active"]


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_no_walk_leaves_the_table(cloud: FrameCloud, seed: int) -> None:
    dice = random.Random(seed)
    handle = await cloud.boot()
    assert await cloud.end(handle) is None
    taken: list[str] = []
    for _ in range(STEPS):
        name = dice.choice(sorted(WAYS))
        before = row(cloud, handle)
        action, wanted = request(cloud, handle, name)
        fails = dice.random() < 0.2
        cloud.faults.arm(**({"fail_before": "end_action"} if fails else {}))
        allowed = before.vm_state in wanted.transition.allowed
        try:
            await cloud.ops.start(action, wanted)
            taken.append(name)
            meanwhile = row(cloud, handle)
            assert known(meanwhile.vm_state, meanwhile.task_state), (meanwhile.vm_state, meanwhile.task_state, taken)
            assert allowed, (name, before.vm_state, taken)
        except ServiceError as refused:
            assert refused.status in (400, 403, 404, 409), (name, taken)
        failed = await cloud.end(handle)
        after = row(cloud, handle)
        assert at_rest(after.vm_state, after.task_state), (name, taken)
        ends = passing(action_of(name), wanted.transition.doing).ends if allowed and not failed else frozenset()
        assert after.vm_state in (ends or {before.vm_state}), (name, taken)
        assert await cloud.leaks() == [], (name, taken)
    assert taken, f"seed {seed} did nothing"
    cloud.faults.arm()
    await cloud.delete(handle)
    assert await cloud.end(handle) is None
    assert row(cloud, handle).vm_state == "deleted"
    assert await cloud.leaks() == []
    assert not [thing for thing in cloud.things.things() if instance_of(handle) in thing]
