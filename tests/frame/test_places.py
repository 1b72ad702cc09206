"""Where servers go that are to be together or apart: groups and hints are obeyed, or there is no valid host."""

import asyncio
import uuid
from typing import Any

import pytest
from temporalio.client import WorkflowHandle

from infra.tables.compute import Instance
from infra.tables.grouping import ServerGroup
from tests.frame.cloud import FrameCloud as Cloud
from tests.workflows.servers import HOSTS

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.usefixtures("quick")]
NOWHERE = "No valid host was found"


def group(cloud: Cloud, policy: str, **rules: int) -> str:
    made = ServerGroup(
        id=str(uuid.uuid4()), project_id=cloud.project, user_id="u", name="g", policy=policy, rules=rules
    )
    with cloud.database.write() as session:
        session.add(made)
    return made.id


async def boot(cloud: Cloud, **about: Any) -> tuple[WorkflowHandle[Any, Any], str]:
    """The server, and its host; the reason instead when there is none."""
    handle = await cloud.boot(cloud.request().model_copy(update=about))
    error = await cloud.end(handle)
    claim = cloud.claim(handle)
    return handle, claim.host if claim else str(error)


async def hosts(cloud: Cloud, count: int, **about: Any) -> list[str]:
    return [(await boot(cloud, **about))[1] for _ in range(count)]


async def test_apart(cloud: Cloud) -> None:
    first, second, third = await hosts(cloud, 3, server_group=group(cloud, "anti-affinity"))
    assert {first, second} == set(HOSTS) and NOWHERE in third and "ServerGroupAntiAffinityFilter: 0" in third
    await cloud.clear()
    several = await hosts(cloud, 5, server_group=group(cloud, "anti-affinity", max_server_per_host=2))
    assert sorted(several[:4]) == sorted(HOSTS * 2) and NOWHERE in several[4]
    await cloud.clear()
    assert await cloud.leaks() == []


async def test_together(cloud: Cloud) -> None:
    here = group(cloud, "affinity")
    _, place = await boot(cloud, server_group=here)
    assert await hosts(cloud, 2, server_group=here) == [place, place]
    elsewhere = next(host for host in HOSTS if host != place)
    assert NOWHERE in (await boot(cloud, server_group=here, requested_host=elsewhere))[1]
    assert NOWHERE in (await boot(cloud, server_group=here, forced_host=elsewhere))[1]  # Nova's hosts look again, too
    assert (await boot(cloud, forced_host=elsewhere))[1] == elsewhere
    await cloud.clear()
    assert (await boot(cloud, server_group=here, requested_host=elsewhere))[1] == elsewhere  # nobody is anywhere now
    await cloud.clear()


async def test_as_far_as_it_goes(cloud: Cloud) -> None:
    assert len(set(await hosts(cloud, 3, server_group=group(cloud, "soft-affinity")))) == 1
    apart = await hosts(cloud, 4, server_group=group(cloud, "soft-anti-affinity"))
    assert sorted(apart) == sorted(HOSTS * 2)
    await cloud.clear()


async def test_many_at_once_keep_apart(cloud: Cloud) -> None:
    """Two control workers may place servers of one group at the same time: each sees what the other has claimed."""
    for policy, places in (("anti-affinity", 2), ("affinity", 1)):
        here = group(cloud, policy)
        booted = await asyncio.gather(*(boot(cloud, server_group=here) for _ in range(4)))
        found = [place for _, place in booted if place in HOSTS]
        assert len(set(found)) == places and len(found) == (2 if places == 2 else 4)
        await cloud.clear()


async def test_near_and_far_from_a_server(cloud: Cloud) -> None:
    first, place = await boot(cloud)
    id = first.id.removeprefix("server-")
    assert await hosts(cloud, 2, shown_hints={"same_host": [id]}) == [place, place]
    assert place not in await hosts(cloud, 2, shown_hints={"different_host": [id]})
    assert NOWHERE in (await boot(cloud, shown_hints={"different_host": [id]}, requested_host=place))[1]
    assert NOWHERE in (await boot(cloud, shown_hints={"same_host": [str(uuid.uuid4())]}))[1]
    await cloud.clear()


async def test_a_group_that_is_full_or_gone_refuses(cloud: Cloud) -> None:
    here = group(cloud, "soft-affinity")
    first, _ = await boot(cloud, server_group=here, group_members=1)
    second, why = await boot(cloud, server_group=here, group_members=1)
    assert "too many servers in group" in why and cloud.record(second) is None
    assert "could not be found" in (await boot(cloud, server_group=str(uuid.uuid4())))[1]
    with cloud.database.read() as session:
        assert session.get_one(Instance, first.id.removeprefix("server-")).server_group_id == here
    await cloud.clear()
