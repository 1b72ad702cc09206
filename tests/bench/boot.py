"""`make bench`: what a boot costs, beside the floor measured in the same run. Prints a markdown table.

The cloud is `kilonova up --driver test` in a state directory of its own: one host, no network."""

import asyncio
import os
import re
import statistics
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import psutil

from infra import credentials
from infra.settings import Settings
from tests.bench import floor
from tests.bench.turns import ROUNDS, in_turns

ROOT = Path(__file__).resolve().parents[2]
KILONOVA = ROOT / ".venv" / "bin" / "kilonova"
OFFSET = int(os.environ.get("KILONOVA_PORT_OFFSET") or 21000)


Row = tuple[str, str, str]
"""What, measured, aim."""
Content = bytes | AsyncIterator[bytes]


class Cloud:
    """The cloud under test, by plain HTTP with one kept-alive token."""

    def __init__(self, state_dir: Path) -> None:
        self.settings = Settings(state_dir=state_dir, port_offset=OFFSET)
        self.http = httpx.AsyncClient(timeout=60, limits=httpx.Limits(max_connections=64))
        self.compute = self.settings.url("compute", "/v2.1")
        self.headers: dict[str, str] = {}
        self.image = ""

    async def sign_in(self) -> None:
        password = credentials.load(self.settings.state_dir)["admin"]
        user = {"name": "admin", "password": password, "domain": {"id": "default"}}
        scope = {"project": {"name": "admin", "domain": {"id": "default"}}}
        body = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}}
        answer = await self.http.post(f"{self.settings.identity_url}/auth/tokens", json=body)
        self.headers = {"X-Auth-Token": answer.headers["x-subject-token"], "OpenStack-API-Version": "compute 2.90"}
        self.project = answer.json()["token"]["project"]["id"]

    async def prepare(self, image_data: Content = b"\0" * 65536, disk_gb: int = 0) -> None:
        ram = 64 if disk_gb else 1  # MiB; real guests have disks
        flavor = {"id": "bench", "name": "bench", "ram": ram, "vcpus": 1, "disk": disk_gb}
        await self.http.post(f"{self.compute}/flavors", json={"flavor": flavor}, headers=self.headers)
        limits = {"instances": -1, "cores": -1, "ram": -1}
        quota = f"{self.compute}/os-quota-sets/{self.project}"
        (await self.http.put(quota, json={"quota_set": limits}, headers=self.headers)).raise_for_status()
        images = self.settings.url("image", "/v2/images")
        image = {"name": "bench", "disk_format": "raw", "container_format": "bare"}
        made = await self.http.post(images, json=image, headers=self.headers)
        self.image = made.json()["id"]
        data = {**self.headers, "Content-Type": "application/octet-stream"}
        (await self.http.put(f"{images}/{self.image}/file", content=image_data, headers=data)).raise_for_status()

    async def post(self, name: str) -> tuple[str, float]:
        """POST /servers; the id and the seconds until the answer."""
        server = {"name": name, "imageRef": self.image, "flavorRef": "bench", "networks": "none"}
        begun = time.perf_counter()
        answer = await self.http.post(f"{self.compute}/servers", json={"server": server}, headers=self.headers)
        answer.raise_for_status()
        return answer.json()["server"]["id"], time.perf_counter() - begun

    async def get(self, path: str) -> tuple[Any, float]:
        begun = time.perf_counter()
        answer = await self.http.get(f"{self.compute}{path}", headers=self.headers)
        answer.raise_for_status()
        return answer.json(), time.perf_counter() - begun

    async def active(self, server_id: str, every_s: float = 0.01) -> float:
        """Wait until ACTIVE, asking every `every_s`; the moment at which it was seen."""
        while True:
            server = (await self.get(f"/servers/{server_id}"))[0]["server"]
            if server["status"] == "ACTIVE":
                return time.perf_counter()
            if server["status"] == "ERROR":
                raise SystemExit(f"a boot failed: {server.get('fault')}")
            await asyncio.sleep(every_s)

    def processes(self) -> list[psutil.Process]:
        """Every process of the cloud, by the PID files."""
        found = []
        for file in (self.settings.run_dir).glob("*.pid"):
            try:
                process = psutil.Process(int(file.read_text().split()[0]))
                found += [process, *process.children(recursive=True)]
            except (psutil.NoSuchProcess, ValueError, IndexError):
                continue
        return list({p.pid: p for p in found}.values())

    def cpu_by_name(self) -> dict[str, float]:
        """CPU seconds used so far, by the cloud's processes (a supervised process with its children)."""
        used = {}
        for file in self.settings.run_dir.glob("*.pid"):
            try:
                process = psutil.Process(int(file.read_text().split()[0]))
                family = [process] if file.stem == "supervisor" else [process, *process.children(recursive=True)]
                used[file.stem] = sum(sum(p.cpu_times()[:2]) for p in family)
            except (psutil.NoSuchProcess, ValueError, IndexError):
                continue
        return used

    def cpu(self) -> float:
        return sum(self.cpu_by_name().values())

    def pss_mib(self) -> float:
        return float(sum(p.memory_full_info().pss for p in self.processes())) / 2**20


def p50(values: list[float]) -> float:
    return statistics.median(values) * 1000


def p95(values: list[float]) -> float:
    return sorted(values)[int(len(values) * 0.95)] * 1000


async def at_once(width: int, count: int, work: Callable[[int], Awaitable[float]]) -> list[float]:
    gate = asyncio.Semaphore(width)

    async def one(number: int) -> float:
        async with gate:
            return await work(number)

    return list(await asyncio.gather(*(one(number) for number in range(count))))


async def measure(cloud: Cloud, ready_s: float, fresh_mib: float, count: int) -> list[Row]:
    await cloud.sign_in()
    await cloud.prepare()
    for number in range(5):
        await cloud.active((await cloud.post(f"warm-{number}"))[0])

    async def boot() -> int:  # each client asks once; the `openstack` client asks every two seconds
        server_id, _ = await cloud.post("cpu")
        await asyncio.sleep(0.25)
        await cloud.active(server_id, 0.1)
        return 1

    (costs,) = await in_turns(cloud, floor.BareBoot, [boot], count // ROUNDS)
    (strict,) = await in_turns(cloud, floor.BareBuild, [boot], max(1, count // ROUNDS // 2))
    posts, totals = [], []
    for number in range(count):
        begun = time.perf_counter()
        server_id, took = await cloud.post(f"one-{number}")
        posts.append(took)
        await asyncio.sleep(0.05)
        totals.append(await cloud.active(server_id) - begun)
    flood: list[float] = []

    async def one(number: int) -> float:
        server_id, took = await cloud.post(f"many-{number}")
        flood.append(took)
        return await cloud.active(server_id, 0.1)

    begun, before = time.perf_counter(), cloud.cpu()
    await at_once(16, 50, one)
    wall, flood_cpu = time.perf_counter() - begun, (cloud.cpu() - before) / 50 * 1000
    server_id = (await cloud.get("/servers?limit=1"))[0]["servers"][0]["id"]
    ones = [(await cloud.get(f"/servers/{server_id}"))[1] for _ in range(100)]
    lists = [(await cloud.get("/servers/detail?limit=100"))[1] for _ in range(20)]
    load = os.getloadavg()[0]
    ranked = sorted(costs.ours.items(), key=lambda item: -item[1])
    return [
        ("ready after `kilonova up`", f"{ready_s:.1f} s", "10 s"),
        ("PSS of the whole cloud, fresh", f"{fresh_mib:.0f} MiB", "950 MiB"),
        ("PSS after all boots", f"{cloud.pss_mib():.0f} MiB", "flat"),
        ("floor: CPU per bare workflow", costs.floor.told(), ""),
        ("floor: accepted p50 / ended p50", f"{p50(costs.floor.accepted):.0f} / {p50(costs.floor.ended):.0f} ms", ""),
        ("CPU per boot, all processes", costs.beside(), "1.3 x floor"),
        ("— beside a floor with one step on the host", f"{strict.beside()} of {strict.floor.cpu:.0f} ms", ""),
        *((f"— of it {name}", f"{ms:.1f} ms", "") for name, ms in ranked if ms >= 0.5),
        ("CPU of the idle cloud", f"{sum(costs.idle.values()):.0f} ms a second", ""),
        ("POST p50 / p95, one at a time", f"{p50(posts):.0f} / {p95(posts):.0f} ms", "40 ms"),
        ("POST to ACTIVE p50 / p95", f"{p50(totals):.0f} / {p95(totals):.0f} ms", "180 ms"),
        ("POST p50 / p95, 16 at once", f"{p50(flood):.0f} / {p95(flood):.0f} ms", "300 ms"),
        ("50 separate boots", f"{50 / wall:.1f} a second, {flood_cpu:.0f} ms CPU each", "10 a second"),
        ("GET one p50", f"{p50(ones):.1f} ms", "8 ms"),
        ("GET detail of 100 p50", f"{p50(lists):.1f} ms", "45 ms"),
        ("load average at the end", f"{load:.1f}", ""),
    ]


Measure = Callable[[Cloud, float, float, int], Awaitable[list[Row]]]


def main(measured: Measure = measure, driver: str = "test") -> None:
    count = int(os.environ.get("BENCH_BOOTS", "60"))
    with tempfile.TemporaryDirectory(prefix="kilonova-bench-") as scratch:
        env = {**os.environ, "KILONOVA_STATE_DIR": scratch, "KILONOVA_PORT_OFFSET": str(OFFSET)}
        up: list[str | Path] = [KILONOVA, "up", "--hosts", "1", "--driver", driver]
        done = subprocess.run(up, env=env, check=False, stdout=subprocess.PIPE, text=True)
        print(said := done.stdout, end="", flush=True)
        done.check_returncode()
        ready = float(re.findall(r"Ready after ([0-9.]+) s", said)[0])
        try:
            cloud = Cloud(Path(scratch))
            time.sleep(2)
            rows = asyncio.run(measured(cloud, ready, cloud.pss_mib(), count))
        finally:
            subprocess.run([KILONOVA, "down"], env=env, check=False)
    print("\n| what | measured | aim |\n|---|---|---|")
    for row in rows:
        print("| " + " | ".join(row) + " |")


if __name__ == "__main__":
    main()
