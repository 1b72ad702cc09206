"""Workflow code runs in the loop's own thread, and code that does not come back is interrupted, or ends the worker.

Switched off by: `workflow_task_executor` left out in workers/control.py; a watch that does not look."""

import asyncio
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import pytest
from temporalio import workflow
from temporalio.api.enums.v1 import EventType
from temporalio.worker import Worker

from tests.frame.cloud import FrameCloud
from workers import control, inline
from workers.inline import Inline, Stuck
from workers.sandbox import runner

pytestmark = pytest.mark.asyncio(loop_scope="session")


@workflow.defn
class Stubborn:
    """Comes back at its second try only."""

    tries: ClassVar[int] = 0
    threads: ClassVar[set[int]] = set()

    @workflow.run
    async def run(self) -> int:
        Stubborn.tries += 1
        Stubborn.threads.add(threading.get_ident())
        while Stubborn.tries == 1:
            pass
        return Stubborn.tries


@pytest.fixture(autouse=True)
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inline, "LOOKS_EVERY_S", 0.2)


async def test_code_that_does_not_yield_fails_its_task_and_is_tried_again(cloud: FrameCloud) -> None:
    queue = f"stubborn-{uuid.uuid4()}"
    worker = Worker(
        cloud.client,
        task_queue=queue,
        workflows=[Stubborn],
        workflow_runner=runner(),
        workflow_task_executor=Inline(),
    )
    async with worker:
        handle = await cloud.client.start_workflow(Stubborn.run, id=queue, task_queue=queue)
        assert await asyncio.wait_for(handle.result(), 30) == 2
    events = (await handle.fetch_history()).events
    (failed,) = [e for e in events if e.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED]
    assert "did not yield" in failed.workflow_task_failed_event_attributes.failure.message
    assert Stubborn.threads == {threading.get_ident()}


async def test_code_that_cannot_be_interrupted_ends_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inline, "ENDED_AFTER", 4)
    ends: list[int] = []

    def deaf() -> str:
        while not ends:
            try:
                time.sleep(0.01)
            except BaseException:
                continue
        return "at last"

    with pytest.raises(Stuck):
        await asyncio.get_running_loop().run_in_executor(Inline(ends.append), deaf)
    assert ends[0] == 1


async def test_what_runs_inline_leaves_the_loop_as_it_was() -> None:
    loop, here = asyncio.get_running_loop(), Inline()

    def away(fails: bool) -> str:
        asyncio._set_running_loop(None)  # as workflow code leaves it
        if fails:
            raise LookupError("gone")
        return threading.current_thread().name

    assert await loop.run_in_executor(here, away, False) == threading.current_thread().name
    assert asyncio.get_running_loop() is loop
    with pytest.raises(LookupError):
        await loop.run_in_executor(here, away, True)
    assert asyncio.get_running_loop() is loop


async def test_long_activations_one_after_another_are_not_taken_for_one() -> None:
    """Four of 0.3 s each: looks find one at work, and none often enough."""
    loop, here = asyncio.get_running_loop(), Inline()
    for _ in range(4):
        await loop.run_in_executor(here, time.sleep, 0.3)


async def test_the_control_worker_has_it(cloud: FrameCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "CONTROL_QUEUE", "another")
    with ThreadPoolExecutor(16) as pool:
        config: Any = control.control_worker(cloud.client, cloud.control(), pool, None).config(active_config=True)
    assert isinstance(config["workflow_task_executor"], Inline)
