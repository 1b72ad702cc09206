"""The compute API hangs for longer than a host may be silent: no host can report, none is down, and a build goes on
where it was."""

import asyncio

import pytest

from tests.resilience.processes import Processes, until
from tests.resilience.test_identity_away import TRIES, Control, for_long, hanging

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_what_nobody_hears_takes_no_build_from_its_host(real: Processes) -> None:
    """Mechanism: `Claims` asks since when an API listens. The build waits for its port, which the network service
    does not make meanwhile."""
    control = Control(real)
    await until(control.all_up)
    for _ in range(TRIES):
        server_id = await real.boot("unheard")
        with hanging(real, "api-services"):
            await asyncio.sleep(1)
            if control.record(server_id).vm_state != "building":  # its port was there already
                continue
            with hanging(real, "api-compute"):
                await for_long(control.all_up)
            await asyncio.sleep(2)  # the first reports arrive
            assert await control.all_up() and control.record(server_id).vm_state == "building"
        break
    server = await real.settled(server_id)
    assert server["status"] == "ACTIVE" and control.record(server_id).claims == 1, "one host, and no other was asked"
    another = await real.settled(await real.boot("after"))
    assert another["status"] == "ACTIVE"
    for one in (server_id, another["id"]):
        await real.delete(one)
