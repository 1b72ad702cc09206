"""Builds are found by their host, and what that costs: one event with the run's end, and no write of its own.

Switched off by: `build_of` of 0 in the request, or `show_host` left out of `carry_out`, of the watch, or of `_park`."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio
from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowHandle

from infra.contracts import patience
from infra.contracts.requests import BUILD_OF
from infra.settings import Settings
from tests.frame.cloud import FrameCloud as Cloud
from tests.frame.conftest import with_temporal, working
from tests.workflows.servers import instance_of

pytestmark = pytest.mark.asyncio(loop_scope="session")

TOLD = EventType.EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES
ENDED = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED
Handle = WorkflowHandle[Any, Any]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Of a cloud of its own, whose Temporal lists what it has; that of the other files lists next to nothing."""
    with with_temporal(tmp_path_factory.mktemp("found"), listed=True) as settings:
        yield settings


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def cloud(settings: Settings) -> AsyncIterator[Cloud]:
    async with working(settings) as cloud:
        yield cloud


async def found(cloud: Cloud, boot: Handle, host: str) -> bool:
    """Whether Temporal finds it, asked for as long as its list may lag behind."""
    end = time.monotonic() + 5
    while time.monotonic() < end:
        asked = f"HostName = '{host}' AND WorkflowId = '{boot.id}'"
        async for _ in cloud.client.list_workflows(asked):
            return True
        await asyncio.sleep(0.1)
    return False


async def kinds(boot: Handle) -> list[int]:
    return [event.event_type for event in (await boot.fetch_history()).events]


@pytest.mark.parametrize("build_of", [0, BUILD_OF])
async def test_a_build_that_has_ended_is_found_by_its_host(cloud: Cloud, build_of: int) -> None:
    boot = await cloud.boot(cloud.request(build_of=build_of))
    assert await cloud.end(boot) is None
    record, told = cloud.record(boot), await kinds(boot)
    assert record is not None and record.host and await found(cloud, boot, record.host)
    assert told.count(TOLD) == 1
    assert (told[-2:] == [TOLD, ENDED]) is (build_of >= 1)  # together: Temporal writes the run's end, and it alone


async def test_a_build_that_failed_is_found_by_its_last_host(cloud: Cloud) -> None:
    boot = await cloud.boot(fail_before="spawn")
    assert "injected at spawn" in str(await cloud.end(boot))
    assert await found(cloud, boot, "node1") or await found(cloud, boot, "node2")
    assert (await kinds(boot)).count(TOLD) == 1


async def test_a_build_that_goes_on_and_on_is_found_while_it_runs(cloud: Cloud) -> None:
    boot = await cloud.boot(hold="spawn")
    await cloud.faults.held.wait()
    claim = cloud.claim(boot)
    assert claim is not None and await found(cloud, boot, claim.host)
    cloud.faults.release.set()
    assert await cloud.end(boot) is None
    assert (await kinds(boot)).count(TOLD) == 1  # its end tells nothing new


async def test_a_parked_build_is_found(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """However soon it is parked: its watch waits meanwhile."""
    monkeypatch.setattr(patience, "WATCH_EVERY", timedelta(minutes=1))
    boot = await cloud.boot(cloud.request(hints={"kilonova:on_failure": "park"}), fail_before="spawn", times=1)
    while not (record := cloud.record(boot)) or not record.parked:
        await asyncio.sleep(0.05)
    claim = cloud.claim(boot)
    assert claim is not None and await found(cloud, boot, claim.host)
    await cloud.ops.resume(cloud.requester(), instance_of(boot), "retry")
    assert await cloud.end(boot) is None
