from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
import pytest_asyncio

from infra.contracts import patience
from infra.settings import Settings
from infra.temporal import connect
from tests.frame.cloud import FrameCloud
from tests.ports import free_offset
from tests.temporal import start_temporal
from tests.workflows.soon import with_short_tasks

SOON = timedelta(milliseconds=300)
"""Workflows look after hosts and deadlines this often here: an outage takes a second, not a minute."""


@contextmanager
def with_temporal(state_dir: Path, *, listed: bool = False) -> Iterator[Settings]:
    settings = Settings(state_dir=state_dir, port_offset=free_offset())
    temporal = start_temporal(settings, listed=listed)
    try:
        yield settings
    finally:
        temporal.terminate()
        temporal.wait(20)


@asynccontextmanager
async def working(settings: Settings) -> AsyncIterator[FrameCloud]:
    cloud = FrameCloud(settings, with_short_tasks(await connect(settings)))
    cloud.prepare()
    was = patience.WATCH_EVERY, patience.DELETE_LOOKS_EVERY
    patience.WATCH_EVERY = patience.DELETE_LOOKS_EVERY = SOON
    try:
        async with cloud.workers():
            yield cloud
    finally:
        patience.WATCH_EVERY, patience.DELETE_LOOKS_EVERY = was


@pytest.fixture(scope="package")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with with_temporal(tmp_path_factory.mktemp("frame")) as settings:
        yield settings


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def cloud(settings: Settings) -> AsyncIterator[FrameCloud]:
    async with working(settings) as cloud:
        yield cloud


@pytest_asyncio.fixture(autouse=True, loop_scope="session")
async def tidy(cloud: FrameCloud) -> AsyncIterator[None]:
    """Every test begins with hosts that report, and ends with no server and nothing held."""
    cloud.silence()
    yield
    cloud.faults.let_go()
    cloud.silence()
    await cloud.clear()


@pytest.fixture
def quick(cloud: FrameCloud) -> Iterator[None]:
    """Workflow code runs as in earnest, not in the strict sandbox, which other tests have."""
    cloud.strict = False
    yield
    cloud.strict = True
