"""One process of the made-up cloud, there to be killed: `python -m tests.frame.agent ROLE STATE_DIR PORT_OFFSET`."""

import asyncio
import pickle
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlmodel import select
from temporalio import activity
from temporalio.client import Client
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor, Worker

import workflows.saga
from activities.step import STEPS, Where
from infra.database import Database
from infra.host.libvirt.faults import LibvirtDown
from infra.settings import Settings
from infra.tables.compute import Instance
from infra.temporal import CONTROL_QUEUE, compute_queue, connect
from tests.faults import LOOKS
from tests.frame.cloud import FrameCloud
from tests.frame.shared import SharedWorld
from tests.frame.world import activities_on
from tests.workflows.servers import HOSTS
from workers.build import build_id
from workers.control import WORKFLOWS
from workers.interceptors import StepInterceptor
from workers.sandbox import runner

HEARTBEAT = timedelta(seconds=4)
"""Five times as fast as in earnest: so soon Temporal gives up the steps of a host agent that was killed."""


class Signs:
    """What the test and its processes tell each other, in files of a folder.

    `hold/<server>`: its first step on `<where>` in `<task_state>` waits while the file is there, and is named in
    `held/<server>`. `ran/<server>`: where its steps ran, one word a step. `libvirtd-down`: steps on domains are refused
    as the driver refuses them then, and counted."""

    def __init__(self, state_dir: Path) -> None:
        self.hold, self.held, self.ran, self.refused = (state_dir / n for n in ("hold", "held", "ran", "refused"))
        self.libvirtd_down, self.requests = state_dir / "libvirtd-down", state_dir / "requests"
        for folder in (self.hold, self.held, self.ran, self.refused):
            folder.mkdir(parents=True, exist_ok=True)


class Held(Interceptor):
    def __init__(self, signs: Signs, database: Database) -> None:
        self.signs, self.database = signs, database

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        return _Hold(next, self)

    def wants(self, instance_id: str, step: str) -> bool:
        try:
            task_state, where = (self.signs.hold / instance_id).read_text().split()
        except FileNotFoundError:
            return False
        if step in LOOKS or STEPS[step].where.value != where:
            return False
        with self.database.read() as session:
            return session.scalar(select(Instance.task_state).where(Instance.id == instance_id)) == task_state


class _Hold(ActivityInboundInterceptor):
    def __init__(self, next: ActivityInboundInterceptor, around: Held) -> None:
        super().__init__(next)
        self._around = around

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        signs, step = self._around.signs, activity.info().activity_type
        id = str(getattr(input.args[0], "instance_id", ""))
        if id and step not in LOOKS:
            with (signs.ran / id).open("a") as ran:
                ran.write(STEPS[step].where.value + "\n")
        if id and await asyncio.to_thread(self._around.wants, id, step):
            (signs.held / id).write_text(step)
            while (signs.hold / id).exists():
                if not activity.info().is_local:
                    activity.heartbeat()
                await asyncio.sleep(0.05)
        if STEPS[step].resource == "domain" and signs.libvirtd_down.exists():
            (signs.refused / id).touch()
            raise LibvirtDown("libvirt is not reachable")
        return await super().execute_activity(input)


def cloud_of(settings: Settings, client: Client) -> FrameCloud:
    cloud = FrameCloud(settings, client)
    cloud.project = "matrix"
    cloud.things = SharedWorld(cloud.claims_of, settings.state_dir / "world")
    return cloud


def workers(cloud: FrameCloud, role: str) -> list[Worker]:
    held = Held(Signs(cloud.settings.state_dir), cloud.database)
    common: dict[str, Any] = {"activity_executor": ThreadPoolExecutor(32), "build_id": build_id()}
    if role == "host":
        return [
            Worker(
                cloud.client,
                task_queue=compute_queue(name),
                activities=activities_on(cloud.things, name, Where.HOST),
                interceptors=[held, StepInterceptor(name)],
                **common,
            )
            for name in HOSTS
        ]
    return [
        Worker(
            cloud.client,
            task_queue=CONTROL_QUEUE,
            workflows=WORKFLOWS,
            activities=cloud.control(),
            max_concurrent_local_activities=64,
            interceptors=[held, StepInterceptor("")],
            workflow_runner=runner(),
            **common,
        )
    ]


async def ask(cloud: FrameCloud) -> None:
    """The API's door: asks for what the file says, and waits for the answers."""
    wanted = pickle.loads(Signs(cloud.settings.state_dir).requests.read_bytes())
    await asyncio.gather(*(getattr(cloud.ops, method)(*args) for method, args in wanted), return_exceptions=True)


async def main(role: str, state_dir: str, offset: str) -> None:
    workflows.saga.HEARTBEAT = HEARTBEAT  # type: ignore[attr-defined]
    settings = Settings(state_dir=Path(state_dir), port_offset=int(offset))
    cloud = cloud_of(settings, await connect(settings))
    if role == "api":
        await ask(cloud)
    else:
        await asyncio.gather(*(worker.run() for worker in workers(cloud, role)))
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
