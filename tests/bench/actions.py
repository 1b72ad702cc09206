"""`make bench-actions`: what actions on a server cost, beside the one bare workflow whose shape all of them have.

On libvirt's test driver, whose calls take no time: what is measured is what Kilonova adds to the bare libvirt call."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from tests.bench import floor
from tests.bench.boot import Cloud, Row, main, p50
from tests.bench.turns import ROUNDS, Costs, Ours, floor_of, in_turns, quartiles

PAIRS = (("os-stop", "SHUTOFF", "os-start", "ACTIVE"), ("pause", "PAUSED", "unpause", "ACTIVE"))
PACE_S = 0.2
Calls = dict[str, Callable[[], Awaitable[tuple[float, float]]]]
"""By name, what is done one after the other: (seconds until the answer, until the server rests)."""
Times = dict[str, list[tuple[float, float]]]


class Server:
    def __init__(self, cloud: Cloud, server_id: str) -> None:
        self.cloud, self.path = cloud, f"/servers/{server_id}"
        self.patient = True  # ask once, after a while; else all the time, for the moment at which it rests

    async def ask(self, method: str, path: str, body: dict[str, Any] | None) -> float:
        """Seconds until the answer."""
        begun = time.perf_counter()
        url = f"{self.cloud.compute}{self.path}{path}"
        answer = await self.cloud.http.request(method, url, json=body, headers=self.cloud.headers)
        answer.raise_for_status()
        return time.perf_counter() - begun

    async def rests(self, status: str) -> None:
        await asyncio.sleep(0.25 if self.patient else 0)
        while True:
            server = (await self.cloud.get(self.path))[0]["server"]
            if server["status"] == status and server["OS-EXT-STS:task_state"] is None:
                return
            await asyncio.sleep(0.1 if self.patient else 0.01)

    async def act(self, name: str, status: str) -> tuple[float, float]:
        """(seconds until the answer, until the server rests)."""
        begun = time.perf_counter()
        took = await self.ask("POST", "/action", {name: None})
        await self.rests(status)
        return took, time.perf_counter() - begun

    async def attach(self, volume: str) -> tuple[float, float]:
        begun = time.perf_counter()
        took = await self.ask("POST", "/os-volume_attachments", {"volumeAttachment": {"volumeId": volume}})
        await self.rests("ACTIVE")
        return took, time.perf_counter() - begun

    async def detach(self, volume: str) -> tuple[float, float]:
        begun = time.perf_counter()
        took = await self.ask("DELETE", f"/os-volume_attachments/{volume}", None)
        await self.rests("ACTIVE")
        return took, time.perf_counter() - begun


async def volume_of(cloud: Cloud) -> str:
    url = cloud.settings.url("volume", "/v3/volumes")
    made = await cloud.http.post(url, json={"volume": {"size": 1}}, headers=cloud.headers)
    found: str = made.json()["volume"]["id"]
    while (await cloud.http.get(f"{url}/{found}", headers=cloud.headers)).json()["volume"]["status"] != "available":
        await asyncio.sleep(0.05)
    return found


def all_of(server: Server, calls: Calls) -> Ours:
    async def act() -> int:
        server.patient = True
        for call in calls.values():
            await call()
        return len(calls)

    return act


async def answers(server: Server, kinds: dict[str, Calls], count: int) -> tuple[Times, list[float]]:
    """((answer, rest) of each call by name, acceptances of bare workflows in turns with them)."""
    times: Times = {name: [] for calls in kinds.values() for name in calls}
    bare: list[float] = []
    server.patient = False
    async with floor_of(server.cloud, floor.BareAction) as (one, _):
        for _ in range(count):
            for calls in kinds.values():
                bare.append((await one())[0])
                await asyncio.sleep(PACE_S)
                for name, call in calls.items():
                    times[name].append(await call())
                    await asyncio.sleep(PACE_S)
    return times, bare


def rows_of(kind: str, costs: Costs, times: Times, bare: list[float]) -> list[Row]:
    most = sorted(costs.ours.items(), key=lambda each: -each[1])[:8]
    every = [one for kept in times.values() for one in kept]
    both, floor_ms = p50([answer for answer, _ in every]), p50(bare)
    low, high = quartiles([answer * 1000 / floor_ms for answer, _ in every])
    told = ", ".join(f"{name} {p50([answer for answer, _ in kept]):.0f}" for name, kept in times.items())
    return [
        (f"{kind}: CPU of one", costs.beside(), "1.5 x"),
        (f"— of it {', '.join(each for each, _ in most)}", ", ".join(f"{ms:.1f}" for _, ms in most), ""),
        (
            f"{kind}: answer p50",
            f"{both:.0f} ms = {both / floor_ms:.2f} x floor ({low:.2f} to {high:.2f}); {told}",
            "1.5 x",
        ),
        (f"{kind}: until it rests p50", f"{p50([rest for _, rest in every]):.0f} ms", "bare call + 150 ms"),
    ]


async def measure(cloud: Cloud, ready_s: float, fresh_mib: float, count: int) -> list[Row]:
    await cloud.sign_in()
    await cloud.prepare()
    server_id, _ = await cloud.post("acted-upon")
    await cloud.active(server_id)
    server, volume = Server(cloud, server_id), await volume_of(cloud)
    kinds: dict[str, Calls] = {
        f"{one} and {back}": {one: partial(server.act, one, there), back: partial(server.act, back, here)}
        for one, there, back, here in PAIRS
    }
    attached = {"attach": partial(server.attach, volume), "detach": partial(server.detach, volume)}
    kinds[" and ".join(attached)] = attached
    whole = [all_of(server, calls) for calls in kinds.values()]
    for act in whole:
        await act()  # what is done once, such as a service's sign-in, is not what one costs
    found = await in_turns(cloud, floor.BareAction, whole, max(count // 3 // ROUNDS, 1))
    times, bare = await answers(server, kinds, count // 3)
    low, high = (each * 1000 for each in quartiles(bare))
    rows: list[Row] = [
        ("floor: CPU of a bare workflow", found[0].floor.told(), ""),
        ("floor: accepted p50", f"{p50(bare):.0f} ms ({low:.0f} to {high:.0f})", ""),
    ]
    for (kind, calls), costs in zip(kinds.items(), found, strict=True):
        rows += rows_of(kind, costs, {name: times[name] for name in calls}, bare)
    return [*rows, ("load average at the end", f"{os.getloadavg()[0]:.1f}", "")]


if __name__ == "__main__":
    main(measure)
