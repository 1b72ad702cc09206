"""Keystone hangs for longer than a host may be silent: hosts stay up, and a build goes on where it was."""

import asyncio
import contextlib
import signal
import time
from collections.abc import Awaitable, Callable, Iterator

import pytest
from sqlmodel import Session

from activities.scheduling.scheduler import Scheduler
from infra.database import Database
from infra.settings import Settings
from infra.stores.claims import Claims
from infra.tables.compute import Instance
from tests.resilience.processes import SETTINGS, Processes, until

pytestmark = pytest.mark.asyncio(loop_scope="session")
LIMIT_S = float(SETTINGS["KILONOVA_HOST_DOWN_AFTER_S"])
TRIES = 5


@contextlib.contextmanager
def hanging(real: Processes, name: str) -> Iterator[None]:
    """Nobody starts it anew: it is there, takes connections, and answers none."""
    real.kill(name, signal.SIGSTOP)
    try:
        yield
    finally:
        real.kill(name, signal.SIGCONT)


async def for_long(holds: Callable[[], Awaitable[bool]]) -> None:
    end = time.monotonic() + 2 * LIMIT_S
    while time.monotonic() < end:
        assert await holds()
        await asyncio.sleep(0.2)


class Control:
    """What the control plane of a cloud knows of its hosts and servers."""

    def __init__(self, real: Processes) -> None:
        self._database = Database("compute", state_dir=real.state_dir)
        self._claims = Claims(self._database, Scheduler(Settings(state_dir=real.state_dir, host_down_after_s=LIMIT_S)))

    async def all_up(self) -> bool:
        return self._claims.up_hosts() == ["node1", "node2"]

    def record(self, server_id: str) -> Instance:
        with Session(self._database.engine) as session:
            return session.get_one(Instance, server_id)


async def test_no_host_is_down_and_no_build_moves(real: Processes) -> None:
    """Mechanism: `outlasts` of the compute service's door. The build waits for its port: the network service hangs,
    then it cannot say whose token a host has."""
    control = Control(real)
    await until(control.all_up)
    for _ in range(TRIES):
        server_id = await real.boot("patient")
        with hanging(real, "keystone"):
            with hanging(real, "api-services"):
                await asyncio.sleep(1)
                if control.record(server_id).vm_state != "building":  # its port was there already
                    continue
                await for_long(control.all_up)
            await asyncio.sleep(2)
            assert await control.all_up() and control.record(server_id).vm_state == "building"
        break
    server = await real.settled(server_id)
    assert server["status"] == "ACTIVE" and control.record(server_id).claims == 1, "one host, and no other was asked"
    await real.delete(server_id)
