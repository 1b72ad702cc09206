"""`make bench-actions`: what actions on a server cost, beside a bare workflow of their shape in the same run.

On libvirt's test driver, whose calls take no time: what is measured is what Kilonova adds to the bare libvirt call."""

import asyncio
import os
import time
from typing import Any

from tests.bench import floor
from tests.bench.boot import Cloud, Row, main, p50
from tests.bench.turns import TURNS, Costs, floor_of, in_turns

PAIRS = (("os-stop", "SHUTOFF", "os-start", "ACTIVE"), ("pause", "PAUSED", "unpause", "ACTIVE"))
PACE_S = 0.2


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


async def one_pair(server: Server, calls: Any, count: int) -> tuple[Costs, list[Any], list[float]]:
    """(CPU of one action, [(answer, rest) of each kind], acceptances of bare workflows in between)."""
    times: list[list[tuple[float, float]]] = [[] for _ in calls]
    server.patient = True

    async def all_of_them() -> int:
        for call in calls:
            await call()
        return len(calls)

    await all_of_them()  # what is done once, such as a service's sign-in, is not what one costs
    costs = await in_turns(server.cloud, floor.BareAction, all_of_them, max(count // TURNS, 1))
    server.patient, bare = False, []
    async with floor_of(server.cloud, floor.BareAction) as (one, _):
        for _ in range(count):
            for call, kept in zip(calls, times, strict=True):
                kept.append(await call())
                await asyncio.sleep(PACE_S)
                bare.append((await one())[0])
                await asyncio.sleep(PACE_S)
    return costs, times, bare


async def measure(cloud: Cloud, ready_s: float, fresh_mib: float, count: int) -> list[Row]:
    await cloud.sign_in()
    await cloud.prepare()
    server_id, _ = await cloud.post("acted-upon")
    await cloud.active(server_id)
    server, volume = Server(cloud, server_id), await volume_of(cloud)
    pairs: list[tuple[str, Any]] = [
        (f"{one} and {back}", (lambda a=one, s=there: server.act(a, s), lambda a=back, s=here: server.act(a, s)))
        for one, there, back, here in PAIRS
    ]
    pairs.append(("attach and detach", (lambda: server.attach(volume), lambda: server.detach(volume))))
    rows: list[Row] = []
    for name, calls in pairs:
        costs, times, between = await one_pair(server, calls, count // 3)
        most = sorted(costs.ours.items(), key=lambda each: -each[1])[:6]
        answers = p50([answer for kept in times for answer, _ in kept])
        rests = p50([rest for kept in times for _, rest in kept])
        rows += [
            (f"{name}: CPU of one (floor {costs.bare:.0f} ms)", costs.beside(), "1.5 x"),
            (f"— of it {', '.join(each for each, _ in most)}", ", ".join(f"{ms:.1f}" for _, ms in most), ""),
            (f"{name}: answer p50", f"{answers:.0f} ms = {answers / p50(between):.2f} x floor in turns", "1.5 x"),
            (f"{name}: until it rests p50", f"{rests:.0f} ms", "bare call + 150 ms"),
        ]
    return [*rows, ("load average at the end", f"{os.getloadavg()[0]:.1f}", "")]


if __name__ == "__main__":
    main(measure)
