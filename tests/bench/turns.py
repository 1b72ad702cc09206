"""Ours and bare workflows in turns: a machine is not as fast in each minute, but nearly so in two turns of seconds."""

import asyncio
import statistics
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import psutil
from temporalio.client import Client, GrpcCompression
from temporalio.contrib.pydantic import pydantic_data_converter

from infra.settings import Settings
from infra.temporal import runtime_in
from tests.bench import floor

IDLE_S = 5
TURNS = 6


class Watched(Protocol):
    """A cloud whose processes are known."""

    settings: Settings

    def processes(self) -> list[psutil.Process]: ...

    def cpu_by_name(self) -> dict[str, float]: ...


RunsBare = Callable[[], Awaitable[tuple[float, float]]]
"""Runs one bare workflow: (seconds until it was accepted, until it ended)."""


@dataclass
class Costs:
    """CPU in ms: of one of ours by process, and of the idle cloud by process in a second; of a bare workflow,
    Temporal's and its workers'. `ratios`: ours to the bare, of each turn. Seconds: of bare workflows, until they were
    accepted, and until they ended."""

    ours: dict[str, float]
    idle: dict[str, float]
    server: float
    workers: float
    ratios: list[float]
    accepted: list[float]
    ended: list[float]

    @property
    def bare(self) -> float:
        return self.server + self.workers

    def beside(self) -> str:
        """What one of ours costs, the quotient of the means, and between which the turns' own lie."""
        ms = sum(self.ours.values())
        low, _, high = statistics.quantiles(self.ratios, n=4)
        return f"{ms:.0f} ms = {ms / self.bare:.2f} x floor (turns {low:.2f} to {high:.2f})"


async def in_turns(cloud: Watched, shape: floor.Bare, ours: Callable[[], Awaitable[int]], each: int) -> Costs:
    """`ours` does one thing or several, at the pace of a patient client, and tells how many. What the idle cloud uses
    is taken off both sides."""
    done: list[tuple[dict[str, float], int, float]] = []
    bare: list[tuple[float, float, float]] = []
    times: list[tuple[float, float]] = []
    async with floor_of(cloud, shape) as (one, mine):
        idle = await _idle(cloud)
        for _ in range(TURNS):
            used, begun = _used(mine), time.perf_counter()
            for _ in range(each):
                times.append(await one())
                await asyncio.sleep(0.25)
            server, workers = (now - then for now, then in zip(_used(mine), used, strict=True))
            bare.append((server, workers, time.perf_counter() - begun))
            before, begun = cloud.cpu_by_name(), time.perf_counter()
            count = sum([await ours() for _ in range(each)])
            after = cloud.cpu_by_name()
            spent = {name: after[name] - then for name, then in before.items()}
            done.append((spent, count, time.perf_counter() - begun))
        later = await _idle(cloud)  # what is done once a minute must not be taken for what is always done
    idle = {name: min(each_s, later.get(name, 0.0)) for name, each_s in idle.items()}
    costs = [{name: (s - idle.get(name, 0.0) * t) / n * 1000 for name, s in spent.items()} for spent, n, t in done]
    floors = [((s - idle["temporal"] * t) / each * 1000, w / each * 1000) for s, w, t in bare]
    accepted, ended = zip(*times, strict=True)
    return Costs(
        ours={name: statistics.mean(cost[name] for cost in costs) for name in costs[0]},
        idle={name: used * 1000 for name, used in idle.items()},
        server=statistics.mean(server for server, _ in floors),
        workers=statistics.mean(workers for _, workers in floors),
        ratios=[sum(cost.values()) / sum(base) for cost, base in zip(costs, floors, strict=True)],
        accepted=list(accepted),
        ended=list(ended),
    )


async def _idle(cloud: Watched) -> dict[str, float]:
    """CPU seconds a second, by process."""
    before, begun = cloud.cpu_by_name(), time.perf_counter()
    await asyncio.sleep(IDLE_S)
    seconds = time.perf_counter() - begun
    return {name: (used - before.get(name, used)) / seconds for name, used in cloud.cpu_by_name().items()}


def _used(processes: list[psutil.Process]) -> tuple[float, float]:
    """CPU seconds of all but the last, and of the last."""
    used = [sum(p.cpu_times()[:2]) for p in processes]
    return sum(used[:-1]), used[-1]


@asynccontextmanager
async def floor_of(cloud: Watched, shape: floor.Bare) -> AsyncIterator[tuple[RunsBare, list[psutil.Process]]]:
    """What runs a bare workflow on the cloud's Temporal, and the processes that do it: Temporal's, and last its own."""
    place = cloud.settings.temporal_place
    enter = ["ip", "netns", "exec", place] if place else []
    worker = subprocess.Popen(
        [*enter, sys.executable, "-m", "tests.bench.floor", cloud.settings.temporal],
        cwd=Path(__file__).resolve().parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert worker.stdout and worker.stdin
    await asyncio.to_thread(worker.stdout.readline)
    client = await Client.connect(
        cloud.settings.temporal,
        data_converter=pydantic_data_converter,
        runtime=runtime_in(place),
        grpc_compression=GrpcCompression.NONE,
    )

    async def one() -> tuple[float, float]:
        begun = time.perf_counter()
        start = await floor.boot(client, f"floor-{uuid.uuid4()}", shape)
        accepted = time.perf_counter() - begun
        await (await start.workflow_handle()).result()
        return accepted, time.perf_counter() - begun

    try:
        for _ in range(5):
            await one()
        yield one, [p for p in cloud.processes() if "temporal" in p.name()] + [psutil.Process(worker.pid)]
    finally:
        worker.stdin.close()
        worker.wait(10)
