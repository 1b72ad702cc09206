"""A cloud of real processes (`kilonova up --hosts 2 --driver test`) with failpoints, asked over HTTP."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx

from tests import commands
from tests.chaos.cloud import Cloud as Tenants

ROOT = Path(__file__).resolve().parents[2]
KILONOVA = Path(sys.executable).with_name("kilonova")
SETTINGS = {
    "KILONOVA_FAILPOINTS": "1",
    "KILONOVA_HEARTBEAT_S": "1",
    "KILONOVA_HOST_DOWN_AFTER_S": "6",
    "KILONOVA_AUDIT_EVERY_S": "3600",
}
NEWEST = {"OpenStack-API-Version": "compute 2.104"}


class Processes:
    def __init__(self, state_dir: Path, offset: int) -> None:
        self.state_dir, self.offset = state_dir, offset
        ours = {"KILONOVA_STATE_DIR": str(state_dir), "KILONOVA_PORT_OFFSET": str(offset), **SETTINGS}
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(("KILONOVA_", "OS_"))} | ours
        self.tenants: Tenants

    def run(self, *arguments: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        argv = [str(KILONOVA), *arguments]
        return subprocess.run(argv, env=self.env, cwd=ROOT, capture_output=True, text=True, timeout=timeout)

    async def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return await asyncio.to_thread(self.run, *arguments)

    async def told_of_leaks(self, *flags: str) -> subprocess.CompletedProcess[str]:
        return await asyncio.to_thread(lambda: commands.leaks(*flags, env=self.env))

    def up(self) -> None:
        done = self.run("up", "--hosts", "2", "--driver", "test", "--no-image")
        assert done.returncode == 0, done.stdout + done.stderr

    def down(self) -> None:
        self.run("down")

    async def prepare(self) -> None:
        self.tenants = Tenants(self.state_dir, self.offset)
        await self.tenants.prepare(1, real_guests=False)

    def fail_at(self, *points: str) -> list[Path]:
        """`<step>.before` or `<step>.after`: the process that comes there next dies by SIGKILL."""
        place = self.state_dir / "failpoints"
        place.mkdir(exist_ok=True)
        for point in points:
            (place / point).touch()
        return [place / point for point in points]

    def kill(self, name: str, number: int = signal.SIGKILL) -> int:
        pid = self.tenants.pids()[name]
        os.kill(pid, number)
        return pid

    def server(self, name: str) -> dict[str, Any]:
        t = self.tenants
        networks = [{"uuid": t.network}]
        return {"server": {"name": name, "imageRef": t.image, "flavorRef": "chaos", "networks": networks}}

    async def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        """The compute API as tenant 0, until somebody answers."""
        t = self.tenants
        return await t.sure(t.tenants[0], method, "compute", f"/v2.1{path}", **more)

    async def as_admin(self, method: str, path: str, **more: Any) -> httpx.Response:
        return await self.tenants.sure(self.tenants.admin, method, "compute", f"/v2.1{path}", **more)

    async def boot(self, name: str, key: str = "") -> str:
        headers = {"Idempotency-Key": key} if key else {}
        answer = await self.ask("POST", "/servers", json=self.server(name), headers=headers)
        assert answer.status_code == 202, answer.text
        found: str = answer.json()["server"]["id"]
        return found

    async def settled(self, server_id: str, seconds: float = 90) -> dict[str, Any]:
        """The server, once it is no longer being built."""

        async def ended() -> dict[str, Any] | None:
            server: dict[str, Any] = (await self.as_admin("GET", f"/servers/{server_id}")).json()["server"]
            return server if server["status"] != "BUILD" and not server["OS-EXT-STS:task_state"] else None

        found: dict[str, Any] = await until(ended, seconds)
        return found

    async def delete(self, *servers: str) -> None:
        for server_id in servers:
            assert (await self.ask("DELETE", f"/servers/{server_id}")).status_code == 204
        for server_id in servers:

            async def gone(server_id: str = server_id) -> bool:
                return (await self.ask("GET", f"/servers/{server_id}")).status_code == 404

            await until(gone)

    async def leaks(self) -> dict[str, Any]:
        """What `kilonova leaks --json` says, once every host answers."""

        async def report() -> dict[str, Any] | None:
            done = await self.told_of_leaks("--json")
            found: dict[str, Any] = json.loads(done.stdout) if done.stdout.strip() else {"unreachable": ["?"]}
            return None if found["unreachable"] else found

        found: dict[str, Any] = await until(report)
        return found

    async def clean(self, instances: int, seconds: float = 60) -> None:
        """Until `leaks` finds nothing; that many guests are there then."""
        end = time.monotonic() + seconds
        while ((report := await self.leaks())["findings"], report["instances"]) != ([], instances):
            assert time.monotonic() < end, f"not clean after {seconds:.0f} s: {report}"
            await asyncio.sleep(0.2)


async def until(ask: Callable[[], Awaitable[Any]], seconds: float = 60) -> Any:
    """The first answer that is true."""
    end = time.monotonic() + seconds
    while not (answer := await ask()):
        assert time.monotonic() < end, "it did not come true in time"
        await asyncio.sleep(0.4)
    return answer
