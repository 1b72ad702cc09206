"""The compute API hangs for longer than a host may be silent: no host can report, none is down, and a build goes on
where it was."""

import asyncio

import pytest
from sqlmodel import Session

from activities.scheduling.scheduler import Scheduler
from infra.database import Database
from infra.settings import Settings
from infra.stores.claims import Claims
from infra.tables.compute import Instance
from tests.resilience.processes import Processes, until
from tests.resilience.test_identity_away import LIMIT_S, TRIES, for_long, hanging

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_what_nobody_hears_takes_no_build_from_its_host(real: Processes) -> None:
    """Mechanism: `Claims` asks since when an API listens. The build waits for its port, which the network service
    does not make meanwhile."""
    settings = Settings(state_dir=real.state_dir, host_down_after_s=LIMIT_S)
    database = Database("compute", state_dir=real.state_dir)
    claims = Claims(database, Scheduler(settings))

    async def all_up() -> bool:
        return claims.up_hosts() == ["node1", "node2"]

    def record(server_id: str) -> Instance:
        with Session(database.engine) as session:
            return session.get_one(Instance, server_id)

    await until(all_up)
    for _ in range(TRIES):
        server_id = await real.boot("unheard")
        with hanging(real, "api-services"):
            await asyncio.sleep(1)
            if record(server_id).vm_state != "building":  # its port was there already
                continue
            with hanging(real, "api-compute"):
                await for_long(all_up)
            await asyncio.sleep(2)  # the first reports arrive
            assert await all_up() and record(server_id).vm_state == "building"
        break
    server = await real.settled(server_id)
    assert server["status"] == "ACTIVE" and record(server_id).claims == 1, "one host, and no other was asked"
    another = await real.settled(await real.boot("after"))
    assert another["status"] == "ACTIVE"
    for one in (server_id, another["id"]):
        await real.delete(one)
