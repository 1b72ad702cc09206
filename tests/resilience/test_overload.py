"""More builds than hosts can start: they wait their turn, in order, fair between projects."""

import asyncio
import statistics
import threading
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

import pytest
from temporalio.api.enums.v1 import EventType

from infra.contracts.hypervisor import DomainSpec, Spawned
from infra.temporal import server_workflow_id
from tests.chaos.cloud import Cloud as Tenants
from tests.chaos.cloud import Tenant
from tests.resilience.host import Extra
from tests.resilience.processes import until
from tests.workflows.cloud import Cloud
from workers.compute import compute_worker

pytestmark = pytest.mark.asyncio(loop_scope="session")
TIMED_OUT = (EventType.EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT, EventType.EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT)
SPAWN_S = 0.4


class Watched:
    """Counts spawns at once, and keeps their order."""

    def __init__(self, extra: Extra) -> None:
        self.now = self.most = 0
        self.order: list[str] = []
        self._guard = threading.Lock()
        self._spawn = extra.host.driver.spawn
        extra.host.driver.spawn = self.spawn  # type: ignore[method-assign]

    def spawn(self, spec: DomainSpec, heartbeat: Any) -> Spawned:
        with self._guard:
            self.now += 1
            self.most = max(self.most, self.now)
            self.order.append(spec.instance_id)
        try:
            time.sleep(SPAWN_S)
            return self._spawn(spec, heartbeat)
        finally:
            with self._guard:
                self.now -= 1


@asynccontextmanager
async def two_at_once(cloud: Cloud, extra: Extra) -> AsyncIterator[Watched]:
    watched = Watched(extra)
    settings = extra.settings.model_copy(update={"max_concurrent_builds": 2})
    with ThreadPoolExecutor(8) as pool:
        async with compute_worker(cloud.client, settings, extra.host.activities(), pool):
            yield watched


async def test_forty_builds_of_two_projects_on_a_host_that_starts_two(
    cloud: Cloud, tenants: Tenants, extra: Extra
) -> None:
    """Mechanisms: BuildSlots (more than two at once without it); no schedule-to-start timeout; the fairness key of
    Attempt.move_to with `matching.enableFairness` of TEMPORAL_TUNING (without it the later project comes last)."""
    cloud.faults.arm()
    one, two = tenants.tenants
    took: list[float] = []
    first: list[str] = []
    second: list[str] = []
    try:
        first += [await post(tenants, one, n, took) for n in range(30)]
        async with two_at_once(cloud, extra) as watched:
            second += [await post(tenants, two, n, took) for n in range(10)]
            everyone = first + second

            async def all_active() -> bool:
                done = [cloud.record(cloud.client.get_workflow_handle(server_workflow_id(i))) for i in everyone]
                return all(record and record.vm_state == "active" for record in done)

            await until(all_active, 120)
        assert watched.most == 2
        assert sorted(watched.order) == sorted(everyone)  # each once
        for server_id in everyone:
            handle = cloud.client.get_workflow_handle(server_workflow_id(server_id))
            assert [e.event_id async for e in handle.fetch_history_events() if e.event_type in TIMED_OUT] == []
        places = [watched.order.index(server_id) for server_id in second]
        mine = [watched.order.index(server_id) for server_id in first]
        print(f"POST: median {statistics.median(took):.3f} s, longest {max(took):.3f} s; second's places {places}")
        print(f"first project's places {mine}")
        assert statistics.median(places) < 30  # first come, first served would give 34.5
        assert inversions(mine) < 0.25 and inversions(places) < 0.25  # half of the pairs would be no order at all
    finally:  # this host's worker ends with the test, and nobody else can undo what is there
        async with two_at_once(cloud, extra):
            await asyncio.gather(*(remove(cloud, tenants, one, i) for i in first))
            await asyncio.gather(*(remove(cloud, tenants, two, i) for i in second))


async def post(tenants: Tenants, who: Tenant, n: int, took: list[float]) -> str:
    server = {"name": f"{who.name}-{n}", "imageRef": tenants.image, "flavorRef": "chaos", "networks": "none"}
    begun = time.monotonic()
    answer = await tenants.sure(who, "POST", "compute", "/v2.1/servers", json={"server": server})
    took.append(time.monotonic() - begun)
    assert answer.status_code == 202, answer.text
    found: str = answer.json()["server"]["id"]
    return found


async def remove(cloud: Cloud, tenants: Tenants, who: Tenant, server_id: str) -> None:
    await tenants.sure(who, "DELETE", "compute", f"/v2.1/servers/{server_id}")
    assert await cloud.end(cloud.client.get_workflow_handle(server_workflow_id(server_id))) is None


def inversions(places: list[int]) -> float:
    """The share of pairs that changed their order."""
    pairs = [(a, b) for i, a in enumerate(places) for b in places[i + 1 :]]
    return sum(a > b for a, b in pairs) / len(pairs)
