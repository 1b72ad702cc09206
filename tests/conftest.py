"""Fixtures of every folder: Keystone and Glance, started once, when the first test wants them."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler.loadscope import LoadScopeScheduling

from tests.clients.functional import PROGRAM, served
from tests.openstack import OpenStack

HERE = Path(__file__).parent
LONG = ("resilience", "workflows", "e2e", "frame", "hostnet", "network", "embedded", "host")
"""Folders that take longest, longest first: begun early, they leave the short ones to fill the gaps."""


class ByFolder(LoadScopeScheduling):  # type: ignore[misc]
    """Where tests run beside each other (`-n 2`), those of a folder share its clouds and run in turn."""

    def _split_scope(self, nodeid: str) -> str:
        return nodeid.partition("::")[0].split("/")[1]


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFolder:
    return ByFolder(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def place(item: pytest.Item) -> int:
        folder = item.path.relative_to(HERE).parts[0]
        return LONG.index(folder) if folder in LONG else len(LONG)

    items.sort(key=place)


@pytest.fixture(scope="session")
def keystone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenStack]:
    """Keystone runs; Glance may be started beside it."""
    found = OpenStack(tmp_path_factory.mktemp("openstack"))
    try:
        found.start("identity")
        yield found
    finally:
        found.stop()


@pytest.fixture(scope="session")
def openstack(keystone: OpenStack) -> OpenStack:
    """Keystone and Glance run."""
    keystone.start("image")
    return keystone


@pytest.fixture(scope="session")
def openstack_client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The program `openstack`: the unmodified client, whose modules are loaded once for all commands of a run."""
    with served(Path(sys.executable).parent, tmp_path_factory.mktemp("client")) as door:
        os.environ["OPENSTACK_SERVED"] = str(door)
        yield str(PROGRAM)
        del os.environ["OPENSTACK_SERVED"]
