"""Fixtures of every folder: Keystone and Glance, started once, when the first test wants them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.openstack import OpenStack

HERE = Path(__file__).parent
LONG = ("resilience", "workflows", "e2e", "frame", "hostnet", "network", "embedded", "host")
"""Folders that take longest, longest first: begun early, they leave the short ones to fill the gaps."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where tests run beside each other (`--dist loadgroup`), those of a folder share its clouds and run in turn."""
    for item in items:
        item.add_marker(pytest.mark.xdist_group(_folder(item)))
    items.sort(key=lambda item: LONG.index(_folder(item)) if _folder(item) in LONG else len(LONG))


def _folder(item: pytest.Item) -> str:
    return item.path.relative_to(HERE).parts[0]


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
