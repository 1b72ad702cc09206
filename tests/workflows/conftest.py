import random
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from infra.settings import PORTS
from infra.temporal import connect
from tests.workflows.cloud import Cloud, Services


def free_offset() -> int:
    """A port offset whose ports nobody listens on."""
    while True:
        offset = random.randrange(100, 250) * 100
        for port in PORTS.values():
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port + offset)) == 0:
                    break
        else:
            return offset


@pytest.fixture(scope="session")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    found = Services(Path(tmp_path_factory.mktemp("cloud")), free_offset())
    try:
        found.start()
        yield found
    finally:
        found.stop()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def cloud(services: Services) -> AsyncIterator[Cloud]:
    cloud = Cloud(services.settings, await connect(services.settings))
    cloud.prepare()
    async with cloud.workers():
        yield cloud
