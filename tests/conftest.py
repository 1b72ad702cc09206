"""Fixtures of every folder: Keystone and Glance, started once, when the first test wants them."""

from collections.abc import Iterator

import pytest

from tests.openstack import OpenStack


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
