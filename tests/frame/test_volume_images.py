"""createImage of a server that boots from a volume: image and snapshots are there together, or neither is."""

from typing import Any

import pytest

from api.common.errors import ServiceError
from infra.contracts.operation import ActionRequest
from tests.frame.cloud import FrameCloud as Cloud
from tests.frame.test_actions import drop, state
from tests.workflows.acting import Handle, delete_at, do, of_a_volume, request
from tests.workflows.servers import instance_of
from workflows.action import Action

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.usefixtures("quick")]
STEPS = (
    "begin_action",
    "require_snapshot_room",
    "create_image",
    "hold_still",
    "snapshot_volumes",
    "let_go",
    "fill_empty_image",
    "end_action",
)


def asking(cloud: Cloud, handle: Handle) -> tuple[Action, ActionRequest]:
    action, wanted = request(cloud, handle, "createImage")
    return action, wanted.model_copy(update={"body": {**wanted.body, "sizes": {}}})


def made(cloud: Cloud, handle: Handle) -> list[Any]:
    return [thing for thing in cloud.things.anywhere if thing[1] == instance_of(handle) and "volume" in thing[0]]


async def test_it_takes_these_steps_each_of_which_may_run_twice(cloud: Cloud) -> None:
    handle = await of_a_volume(cloud)
    cloud.faults.arm(run_twice=True)
    await cloud.ops.start(*asking(cloud, handle))
    assert await cloud.end(handle) is None
    assert tuple(cloud.faults.done) == STEPS
    assert state(cloud, handle) == ("active", None)
    await drop(cloud, handle)


@pytest.mark.parametrize("when", ["fail_before", "fail_after"])
async def test_a_failure_at_any_step_takes_both_away(cloud: Cloud, when: str) -> None:
    for step in STEPS[1:-1]:
        handle = await of_a_volume(cloud)
        before = made(cloud, handle)
        cloud.faults.arm(**{when: step}, times=1)
        try:
            await cloud.ops.start(*asking(cloud, handle))
        except ServiceError:
            assert step in STEPS[:6]
        assert f"injected at {step}" in str(await cloud.end(handle))
        assert (state(cloud, handle), made(cloud, handle)) == (("active", None), before), step
        assert ("unfinished image", instance_of(handle)) not in {thing[:2] for thing in cloud.things.anywhere}
        assert "frozen" not in {thing[1] for thing in cloud.things.things()}
        await drop(cloud, handle)


async def test_a_delete_meanwhile_takes_both_along(cloud: Cloud) -> None:
    for step in STEPS[1:]:
        handle = await of_a_volume(cloud)
        await delete_at(cloud, handle, step, asking(cloud, handle))
        assert await cloud.leaks() == [], step


async def test_a_server_that_is_off_is_still_anyway(cloud: Cloud) -> None:
    handle = await of_a_volume(cloud)
    assert await do(cloud, handle, "os-stop") is None
    cloud.faults.arm()
    await cloud.ops.start(*asking(cloud, handle))
    assert await cloud.end(handle) is None
    assert {"hold_still", "let_go"} == set(STEPS) - set(cloud.faults.ran)
    await drop(cloud, handle)
