from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from infra.temporal import connect
from tests.openstack import OpenStack
from tests.workflows.cloud import Cloud, Services
from tests.workflows.soon import with_short_tasks


@pytest.fixture(scope="package")
def services(
    request: pytest.FixtureRequest, openstack: OpenStack, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Services]:
    """They answer at the ports of the session's catalog, so they end with their folder: import this in a conftest."""
    assert isinstance(request.node, pytest.Package)
    found = Services(openstack, Path(tmp_path_factory.mktemp("cloud")))
    try:
        found.start()
        yield found
    finally:
        found.stop()


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def cloud(services: Services) -> AsyncIterator[Cloud]:
    cloud = Cloud(services.settings, with_short_tasks(await connect(services.settings)))
    cloud.prepare()
    async with cloud.workers():
        yield cloud


@pytest_asyncio.fixture(autouse=True, loop_scope="session")
async def tidy(request: pytest.FixtureRequest) -> AsyncIterator[None]:
    """What a failed test holds would hold up the workers' end, and its servers would fail the tests after it."""
    yield
    if "cloud" in request.fixturenames:
        cloud: Cloud = request.getfixturevalue("cloud")
        cloud.faults.let_go()
        await cloud.clear()
