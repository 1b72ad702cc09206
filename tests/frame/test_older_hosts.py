"""A host of an older release: what its worker does not know is refused, or goes elsewhere, and leaves nothing."""

import uuid
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import pytest
import pytest_asyncio
from sqlmodel import col, delete
from temporalio.worker import Worker

from activities.step import Where
from api.common.errors import ServiceError
from infra.contracts.abilities import LOCAL_DISKS
from infra.contracts.volume import VolumeRequest
from infra.tables.compute import ComputeNode, Service
from infra.temporal import compute_queue
from tests.frame.cloud import FrameCloud as Cloud
from tests.frame.test_actions import drop, state
from tests.frame.test_places import boot
from tests.frame.test_resize import asking
from tests.frame.world import activities_on
from tests.workflows.acting import do
from tests.workflows.servers import HOSTS

pytestmark = pytest.mark.asyncio(loop_scope="session")
OLDER = "older"


@pytest_asyncio.fixture(loop_scope="session")
async def older(cloud: Cloud) -> AsyncIterator[None]:
    """The host that the scheduler likes best; it tells no abilities."""
    number = len(HOSTS)
    with cloud.database.write() as session:
        where: dict[str, Any] = {"binary": "nova-compute", "host": OLDER, "zone": "nova", "number": number}
        session.add(Service(id=str(uuid.uuid4()), last_seen=datetime(2099, 1, 1), **where))
        capacity = {"vcpus": 10_000, "memory_mb": 10**8, "disk_gb": 10**5}
        session.add(ComputeNode(host=OLDER, id=str(uuid.uuid4()), number=number, **capacity))
    yield
    await cloud.clear()
    with cloud.database.write() as session:
        session.execute(delete(Service).where(col(Service.host) == OLDER))
        session.execute(delete(ComputeNode).where(col(ComputeNode.host) == OLDER))


@asynccontextmanager
async def working(cloud: Cloud, without: str) -> AsyncIterator[None]:
    """Its worker, which does not know a step."""
    steps = activities_on(cloud.things, OLDER, Where.HOST)
    known = [each for each in steps if each.__temporal_activity_definition.name != without]  # type: ignore[attr-defined]
    assert len(known) == len(steps) - 1
    with ThreadPoolExecutor(8) as pool:
        queue = compute_queue(OLDER)
        async with Worker(cloud.client, task_queue=queue, activities=known, activity_executor=pool):
            yield


async def test_a_server_that_needs_what_it_cannot_goes_elsewhere(cloud: Cloud, older: None) -> None:
    """Mechanism: ComputeCapabilitiesFilter, by the abilities that a host tells with its heartbeat."""
    _, place = await boot(cloud)  # it has swap
    assert place in HOSTS
    _, reason = await boot(cloud, forced_host=OLDER)
    assert "No valid host was found" in reason and "ComputeCapabilitiesFilter: 0" in reason
    ids = {"volume_id": str(uuid.uuid4()), "attachment_id": str(uuid.uuid4())}
    volume = VolumeRequest(**ids, create=True, size_gb=1, delete_on_termination=True)
    typed = volume.model_copy(update={"volume_type": str(uuid.uuid4())})
    _, reason = await boot(cloud, local_disks=[], forced_host=OLDER, volumes=[typed])
    assert "No valid host was found" in reason and "ComputeCapabilitiesFilter: 0" in reason
    async with working(cloud, without="grow_disk"):
        handle, place = await boot(cloud, local_disks=[], volumes=[volume])
        assert place == OLDER, "a server that needs none of it"
        bigger = {"id": "eph", "name": "eph", "vcpus": 1, "ram": 64, "ephemeral": 2}
        with pytest.raises(ServiceError, match=f"No valid host was found. .* cannot {LOCAL_DISKS}"):
            await cloud.ops.start(*asking(cloud, handle, flavor=bigger))
        assert state(cloud, handle) == ("active", None)
        await drop(cloud, handle)


async def test_a_step_that_it_does_not_know_ends_an_action_at_once(cloud: Cloud, older: None) -> None:
    """Mechanism: RETRY_ON_HOST. Without it the step would be tried until the operation's deadline."""
    async with working(cloud, without="give_volume"):
        handle, place = await boot(cloud, local_disks=[])
        assert place == OLDER
        error = await do(cloud, handle, "attach_volume")
        assert "host older is of an older release and does not know the step give_volume" in str(error)
        assert "not undone" not in str(error) and state(cloud, handle) == ("active", None)
        await drop(cloud, handle)


async def test_a_build_goes_on_to_a_host_that_knows_its_steps(cloud: Cloud, older: None) -> None:
    async with working(cloud, without="spawn"):
        handle, place = await boot(cloud, local_disks=[])
        assert place in HOSTS
        await drop(cloud, handle)
