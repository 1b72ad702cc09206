"""`make chaos`: boots, deletes and every action on servers while processes are killed with -9, at random and at each
step.

Settings (environment): CHAOS_SECONDS (180), CHAOS_HOSTS (3), CHAOS_TENANTS (3), CHAOS_SERVERS (how many a tenant
has at most: 2 of QEMU, else as many as come), CHAOS_SEED (random, printed), CHAOS_PAUSE_S (between kills, 2 on
average), CHAOS_DRIVER (test; `qemu` boots real guests on one host), CHAOS_DATABASE (`postgresql`: every store on a
server that is killed, too), CHAOS_TROUBLE (`kills`; or some of kills,slow,absent,full-disk, with a comma between),
CHAOS_VXLAN (1; 0: hosts that pretend guests carry no networks either, which needs no root), CHAOS_KEEP (copy the state
directory there), CHAOS_ACTIONS (rows of the table of actions, with a comma between; all).
What is wrong at the end is told with its whole story (tests/chaos/story.py). The last line counts; exit status 0 when
nothing is stuck, lost, doubled or leaked."""

import asyncio
import importlib
import os
import pkgutil
import random
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import activities
from activities import step
from infra.contracts.states import RESTING
from tests.chaos import floating, story, troubles, tunnels
from tests.chaos.acts import ASKED, Acts
from tests.chaos.cloud import KILLED, KILONOVA, Cloud, Tenant
from tests.chaos.leaks import leaks
from tests.chaos.truth import untruths_that_stay
from tests.chaos.watch import Heartbeats
from tests.frame.world import READS
from tests.ports import free_offset
from tests.postgres import Server
from workflows.actions import ACTIONS

for _module in pkgutil.iter_modules(activities.__path__):
    importlib.import_module(f"activities.{_module.name}")
STEPS = tuple(name for name in step.STEPS if name not in READS)
QUIET = frozenset(RESTING.values()) - {"ERROR", "DELETED"}
WRONG = ("stuck", "lost", "bare")
SETTLE_S = 240
SERVERS = int(os.environ.get("CHAOS_SERVERS", "0"))
PAUSE_S = float(os.environ.get("CHAOS_PAUSE_S", "2"))
DRIVER = os.environ.get("CHAOS_DRIVER", "test")
DATABASE = os.environ.get("CHAOS_DATABASE", "sqlite")
APART = DRIVER == "test" and os.environ.get("CHAOS_VXLAN", "1") == "1"
TROUBLE = os.environ.get("CHAOS_TROUBLE", "kills").split(",")


@dataclass
class Wanted:
    """What a tenant asked for and was promised."""

    tenant: Tenant
    key: str
    server_id: str = ""
    deleted: bool = False
    end: str = ""  # what became of it, once all is over


class Chaos:
    def __init__(self, cloud: Cloud, dice: random.Random, seconds: float, at_most: int) -> None:
        self.cloud, self.dice, self.at_most = cloud, dice, at_most
        self.end = time.monotonic() + seconds
        self.wanted: list[Wanted] = []
        self.kills: Counter[str] = Counter()
        self.troubles: Counter[str] = Counter()
        self.actions: Counter[str] = Counter()
        self.acts = Acts(cloud, dice)
        self.heartbeats = Heartbeats(cloud)
        self.operations = 0
        self.doubled = 0
        self.refused = 0

    async def boot(self, tenant: Tenant) -> None:
        """Ask until somebody answers, always with the same key: however often it arrives, it is one server."""
        want = Wanted(tenant, f"chaos-{uuid.UUID(int=self.dice.getrandbits(128))}")
        chosen = [{"uuid": self.dice.choice(self.cloud.networks(tenant))}]
        networks: Any = chosen if self.dice.random() < 0.7 else "none"
        server = {"name": want.key[:20], "imageRef": self.cloud.image, "flavorRef": "chaos", "networks": networks}
        if self.dice.random() < 0.25:
            server["block_device_mapping_v2"] = self._with_volume()
        headers = {"Idempotency-Key": want.key}
        for _ in range(1 + (self.dice.random() < 0.2)):  # some clients send the same request twice
            answer = await self.cloud.sure(
                tenant, "POST", "compute", "/v2.1/servers", json={"server": server}, headers=headers
            )
            self.operations += 1
            if answer.status_code == 202:
                server_id = answer.json()["server"]["id"]
                self.doubled += bool(want.server_id) and want.server_id != server_id
                want.server_id = server_id
            elif self.dice.random() < 0.01 or not self.refused:
                print(f"refused: {answer.status_code} {answer.text[:200]}", flush=True)
            self.refused += answer.status_code != 202
        if want.server_id:
            self.wanted.append(want)

    def _with_volume(self) -> list[dict[str, Any]]:
        """The image's disk, and a blank volume that lives as long as the server."""
        root = {"uuid": self.cloud.image, "source_type": "image", "destination_type": "local", "boot_index": 0}
        blank = {"source_type": "blank", "destination_type": "volume", "volume_size": 1, "boot_index": -1}
        return [root | {"delete_on_termination": True}, blank | {"delete_on_termination": True}]

    async def delete(self, want: Wanted) -> None:
        want.deleted = True
        await self.cloud.sure(want.tenant, "DELETE", "compute", f"/v2.1/servers/{want.server_id}")
        self.operations += 1

    async def retry(self, want: Wanted) -> None:
        action = f"/v2.1/servers/{want.server_id}/action"
        await self.cloud.sure(want.tenant, "POST", "compute", action, json={"kilonova:retry": None})
        self.operations += 1

    async def act(self, want: Wanted) -> None:
        """One action, asked for with one request id until somebody answers: however often it arrives, it is one."""
        path = f"/v2.1/servers/{want.server_id}"
        shown = await self.cloud.sure(want.tenant, "GET", "compute", path)
        if shown.status_code != 200:
            return
        server = shown.json()["server"]
        name = self.dice.choice(self.acts.names(server["OS-EXT-STS:vm_state"]))
        asked = await self.acts.request(name, want.tenant, server)
        if asked is None:
            return
        request = {"X-OpenStack-Request-ID": f"req-{uuid.UUID(int=self.dice.getrandbits(128))}"}
        who = self.cloud.admin if asked.admin else want.tenant
        answer = await self.cloud.sure(
            who, asked.method, "compute", path + asked.path, json=asked.json, headers=request
        )
        self.actions[name if answer.status_code in (200, 202, 204) else f"{name} refused"] += 1
        self.operations += 1

    async def tenant_life(self, tenant: Tenant) -> None:
        while time.monotonic() < self.end:
            mine = [w for w in self.wanted if w.tenant is tenant and not w.deleted]
            if len(mine) >= self.at_most or (mine and self.dice.random() < 0.45):
                chosen = self.dice.choice(mine)
                kind = self.dice.random()
                if self.cloud.outside and kind < 0.1:
                    self.actions[await floating.change(self.cloud, self.dice, tenant, chosen.server_id)] += 1
                    continue
                await (self.retry(chosen) if kind < 0.15 else self.act(chosen) if kind < 0.8 else self.delete(chosen))
            else:
                await self.boot(tenant)
            await asyncio.sleep(self.dice.random() * 0.8)

    async def killer(self) -> None:
        """Kill one process, several, or all; now and then leave a mine at a step, before or after its effect."""
        mines = self.cloud.state_dir / "failpoints"
        mines.mkdir(exist_ok=True)
        steps = [f"{step}.{when}" for step in STEPS for when in ("before", "after")]
        self.dice.shuffle(steps)
        while time.monotonic() < self.end:
            await asyncio.sleep(PAUSE_S * (0.25 + self.dice.random() * 1.5))
            if steps and self.dice.random() < 0.6:
                mine = steps.pop()
                (mines / mine).touch()
                self.cloud.note(f"{KILLED}, or to be, at {mine}")
                self.kills[f"at {mine}"] += 1
                continue
            names = sorted(self.cloud.pids())
            everything = self.dice.random() < 0.08
            for name in (
                names if everything else self.dice.sample(names, k=min(len(names), self.dice.choice((1, 1, 2))))
            ):
                self.kills[name] += self.cloud.kill(name)
        for left in mines.iterdir():
            self.kills[f"at {left.name}"] -= 1
            left.unlink(missing_ok=True)

    async def trouble(self) -> None:
        kinds = [kind for kind in TROUBLE if kind != "kills"]
        await asyncio.gather(
            *([self.killer()] if "kills" in TROUBLE else []),
            *([troubles.befall(self.cloud, self.dice, self.end, kinds, self.troubles)] if kinds else []),
        )

    async def run(self) -> None:
        watch = asyncio.create_task(self.heartbeats.look())
        await asyncio.gather(self.trouble(), *(self.tenant_life(tenant) for tenant in self.cloud.tenants))
        watch.cancel()

    async def settle(self) -> Counter[str]:
        """Wait until every operation has ended; count how. What does not end in time is stuck."""
        end = time.monotonic() + SETTLE_S
        while True:
            counts: Counter[str] = Counter({"active": 0, "error": 0, "gone": 0, "stuck": 0, "lost": 0, "bare": 0})
            for want in self.wanted:
                want.end = await self._state(want)
                counts[want.end] += 1
            if not counts["stuck"] or time.monotonic() > end:
                return counts
            await asyncio.sleep(2)

    async def _state(self, want: Wanted) -> str:
        answer = await self.cloud.sure(want.tenant, "GET", "compute", f"/v2.1/servers/{want.server_id}")
        if answer.status_code == 404:
            return "gone" if want.deleted else "lost"
        server = answer.json()["server"]
        if want.deleted or server["OS-EXT-STS:task_state"] or server["status"] == "BUILD":
            return "stuck"
        if server["status"] == "ERROR":
            return "error" if server.get("fault", {}).get("message") else "bare"
        return "active" if server["status"] in QUIET else "stuck"


async def chaos(cloud: Cloud, seed: int, seconds: float, env: dict[str, str]) -> int:
    await cloud.prepare(int(os.environ.get("CHAOS_TENANTS", "3")), real_guests=DRIVER == "qemu")
    if (real := DRIVER == "qemu") or cloud.apart:
        await floating.prepare(cloud)
    if cloud.apart:
        await tunnels.prepare(cloud)
    storm = Chaos(cloud, random.Random(seed), seconds, at_most=SERVERS or (2 if real else 10**6))
    await storm.run()
    await storm.settle()
    await asyncio.sleep(15)  # the hosts' own reconciliation after the last kill
    await storm.boot(cloud.tenants[0])  # what is still there must still build
    counts = await storm.settle()
    uncrossed = await tunnels.crossing(cloud, cloud.tenants[0]) if cloud.apart else []
    found, doubled = await asyncio.to_thread(leaks, env, apart=APART)
    findings = [*uncrossed, *await untruths_that_stay(cloud, storm.acts.parted), *found]
    leaked = len(findings) - doubled
    findings += [f"{want.server_id} is {want.end}" for want in storm.wanted if want.end in WRONG]
    ended = [f"{want.server_id} is in ERROR" for want in storm.wanted if want.end == "error"]
    print(f"killed with -9: {sum(storm.kills.values())} ({dict(sorted(storm.kills.items()))})")
    print("\n".join(findings))
    print("\n".join(await story.told(cloud, [*findings, *ended])))
    doubled += storm.doubled
    stuck = counts["stuck"] + counts["bare"]
    print(f"actions: {dict(sorted(storm.actions.items()))}")
    print(f"troubles: {dict(storm.troubles)}; hosts seen: {dict(storm.heartbeats.seen)}; 5xx: {dict(cloud.failed)}")
    print("\n".join(cloud.unexpected))
    print(f"{counts['gone']} deleted, {storm.refused} refused; seed {seed}")
    print(
        f"{storm.operations} operations, {counts['active']} active, {counts['error']} error with fault, "
        f"{stuck} stuck, {counts['lost']} lost, {doubled} doubled, {leaked} leaked"
    )
    down = storm.heartbeats.seen["down"] if TROUBLE == ["full-disk"] else 0
    wrong = len(cloud.unexpected) if "kills" not in TROUBLE else 0  # a service that dies may cut itself short
    return 1 if not counts["active"] or stuck or counts["lost"] or doubled or leaked or down or wrong else 0


def main() -> int:
    seed = int(os.environ.get("CHAOS_SEED") or random.SystemRandom().randrange(10**6))
    seconds = float(os.environ.get("CHAOS_SECONDS", "180"))
    if unknown := ASKED - {row.name for row in ACTIONS.values()}:
        raise SystemExit(f"no such row: {', '.join(sorted(unknown))}")
    hosts, offset = "1" if DRIVER == "qemu" else os.environ.get("CHAOS_HOSTS", "3"), free_offset()
    print(f"seed {seed}, {seconds:.0f} s, {hosts} hosts, driver {DRIVER}, {DATABASE}", flush=True)
    with ExitStack() as stack:
        scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="kilonova-chaos-"))
        env = {
            **os.environ,
            "KILONOVA_STATE_DIR": scratch,
            "KILONOVA_PORT_OFFSET": str(offset),
            "KILONOVA_FAILPOINTS": "1",
            "KILONOVA_HOST_DOWN_AFTER_S": "15",
            "KILONOVA_DISK_ALLOCATION_RATIO": "1000000",  # guests of the test driver take nothing
            "KILONOVA_CPU_ALLOCATION_RATIO": "64",  # servers whose delete waits for what was killed keep no other out
        }
        if "full-disk" in TROUBLE:
            stack.enter_context(troubles.small_disk(Path(scratch)))
        server = None
        if DATABASE == "postgresql":
            server = Server(5432 + offset)
            stack.callback(server.stop)
            env["KILONOVA_DATABASE_URL"] = server.databases()
        if APART:
            env |= {"KILONOVA_HOST_NETWORKING": "kilonova", "KILONOVA_HOSTS_APART": "1"}
        up = [KILONOVA, "up", "--hosts", hosts, "--driver", DRIVER]
        try:
            subprocess.run(up if DRIVER == "qemu" else [*up, "--no-image"], env=env, check=True)
            return asyncio.run(chaos(Cloud(Path(scratch), offset, server, APART), seed, seconds, env))
        finally:
            if keep := os.environ.get("CHAOS_KEEP"):
                subprocess.run(["cp", "-r", scratch, keep], check=False)
            subprocess.run([KILONOVA, "down"], env=env, check=False)


if __name__ == "__main__":
    sys.exit(main())
