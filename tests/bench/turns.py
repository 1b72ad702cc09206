"""Ours and bare workflows in turns: a machine is not as fast in each minute, but nearly so in two turns of seconds."""

import asyncio
import statistics
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
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
ROUNDS = 6


class Watched(Protocol):
    """A cloud whose processes are known."""

    settings: Settings

    def processes(self) -> list[psutil.Process]: ...

    def cpu_by_name(self) -> dict[str, float]: ...


RunsBare = Callable[[], Awaitable[tuple[float, float]]]
"""Runs one bare workflow: (seconds until it was accepted, until it ended)."""
Ours = Callable[[], Awaitable[int]]
"""Does one thing or several, at the pace of a patient client, and tells how many."""


@dataclass
class Floor:
    """What a bare workflow costs: CPU in ms, of Temporal and of its workers, and in each round of the run. Seconds:
    until it was accepted, and until it ended."""

    server: float
    workers: float
    rounds: list[float]
    accepted: list[float]
    ended: list[float]

    @property
    def cpu(self) -> float:
        return self.server + self.workers

    def told(self) -> str:
        low, high = quartiles(self.rounds)
        parts = f"Temporal {self.server:.0f}, workers {self.workers:.0f}"
        return f"{self.cpu:.0f} ms (rounds {low:.0f} to {high:.0f}; {parts})"


@dataclass
class Costs:
    """CPU in ms, by process: of one of ours, and of the idle cloud in a second. `ratios`: ours to the floor, in each
    round."""

    ours: dict[str, float]
    idle: dict[str, float]
    floor: Floor
    ratios: list[float]

    def beside(self) -> str:
        """What one of ours costs, the quotient of the means, and between which the rounds' own lie."""
        ms = sum(self.ours.values())
        low, high = quartiles(self.ratios)
        return f"{ms:.0f} ms = {ms / self.floor.cpu:.2f} x floor (rounds {low:.2f} to {high:.2f})"


def quartiles(values: list[float]) -> tuple[float, float]:
    """The lower and the upper one."""
    low, _, high = statistics.quantiles(values, n=4)
    return low, high


async def in_turns(cloud: Watched, shape: floor.Bare, kinds: Sequence[Ours], each: int) -> list[Costs]:
    """What each kind of ours costs, beside one floor: in a round each kind has its turn, with bare workflows before it.
    What the idle cloud uses is taken off both sides."""
    async with floor_of(cloud, shape) as (one, mine):
        idle = await _idle(cloud)
        spent = _Spent(cloud, one, mine, each)
        for _ in range(ROUNDS):
            await spent.a_round(kinds)
        later = await _idle(cloud)  # what is done once a minute must not be taken for what is always done
    idle = {name: min(each_s, later.get(name, 0.0)) for name, each_s in idle.items()}
    return spent.costs(idle)


class _Spent:
    """What was spent so far: seconds of CPU and of time, in each turn."""

    def __init__(self, cloud: Watched, one: RunsBare, mine: list[psutil.Process], each: int) -> None:
        self._cloud, self._one, self._mine, self._each = cloud, one, mine, each
        self._bare: list[list[tuple[float, float, float]]] = []
        self._times: list[tuple[float, float]] = []
        self._done: list[list[tuple[dict[str, float], int, float]]] = []

    async def a_round(self, kinds: Sequence[Ours]) -> None:
        self._bare.append([])
        self._done.append([])
        for ours in kinds:
            self._bare[-1].append(await self._turn_of_bare())
            before, begun = self._cloud.cpu_by_name(), time.perf_counter()
            count = sum([await ours() for _ in range(self._each)])
            after = self._cloud.cpu_by_name()
            used = {name: after[name] - then for name, then in before.items()}
            self._done[-1].append((used, count, time.perf_counter() - begun))

    async def _turn_of_bare(self) -> tuple[float, float, float]:
        used, begun = _used(self._mine), time.perf_counter()
        for _ in range(self._each):
            self._times.append(await self._one())
            await asyncio.sleep(0.25)
        server, workers = (now - then for now, then in zip(_used(self._mine), used, strict=True))
        return server, workers, time.perf_counter() - begun

    def costs(self, idle: dict[str, float]) -> list[Costs]:
        turns = [
            [((s - idle["temporal"] * t) / self._each * 1000, w / self._each * 1000) for s, w, t in a_round]
            for a_round in self._bare
        ]
        accepted, ended = zip(*self._times, strict=True)
        bare = Floor(
            server=statistics.mean(server for a_round in turns for server, _ in a_round),
            workers=statistics.mean(workers for a_round in turns for _, workers in a_round),
            rounds=[statistics.mean(map(sum, a_round)) for a_round in turns],
            accepted=list(accepted),
            ended=list(ended),
        )
        shown = {name: used * 1000 for name, used in idle.items()}
        found = []
        for of_kind in zip(*self._done, strict=True):
            each = [
                {name: (s - idle.get(name, 0.0) * t) / n * 1000 for name, s in used.items()} for used, n, t in of_kind
            ]
            ours = {name: statistics.mean(one[name] for one in each) for name in each[0]}
            ratios = [sum(one.values()) / base for one, base in zip(each, bare.rounds, strict=True)]
            found.append(Costs(ours=ours, idle=shown, floor=bare, ratios=ratios))
        return found


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
