"""Two clouds: one with its workers in this process, where steps can be held, and one of real processes to be killed."""

from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import pytest_asyncio

from infra.contracts import patience
from tests.chaos.cloud import Cloud as Tenants
from tests.ports import free_offset
from tests.resilience.host import Extra
from tests.resilience.processes import Processes
from tests.workflows import conftest as beside
from tests.workflows.cloud import Cloud
from workflows import saga

cloud, services, tidy = beside.cloud, beside.services, beside.tidy


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def tenants(cloud: Cloud) -> Tenants:
    """Two projects, an image, a network and a flavor of the cloud in this process, by HTTP."""
    found = Tenants(cloud.settings.state_dir, cloud.settings.port_offset)
    await found.prepare(2, real_guests=False)
    return found


@pytest_asyncio.fixture(loop_scope="session")
async def extra(cloud: Cloud, tmp_path: Path) -> AsyncIterator[Extra]:
    """A host that the scheduler prefers, without a worker; nothing of it is left afterwards."""
    host = Extra(cloud, tmp_path)
    host.report()
    try:
        yield host
    finally:
        host.forget()


@pytest.fixture
def watchful(monkeypatch: pytest.MonkeyPatch) -> None:
    """Operations look after their host and deadline every 0.3 s; a step that is held counts as dead after 2 s."""
    soon = timedelta(seconds=0.3)
    monkeypatch.setattr(patience, "WATCH_EVERY", soon)
    monkeypatch.setattr(patience, "DELETE_LOOKS_EVERY", soon)
    monkeypatch.setattr(saga, "HEARTBEAT", timedelta(seconds=2))


@pytest.fixture(scope="package")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    found = Processes(Path(tmp_path_factory.mktemp("processes")), free_offset())
    try:
        found.up()
        yield found
    finally:
        found.down()


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def real(processes: Processes) -> Processes:
    await processes.prepare()
    return processes
