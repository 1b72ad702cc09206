"""One cloud for this folder's tests, and users of it."""

from collections.abc import Iterator

import pytest

import api.image.app
from tests.image.cloud import Api, Cloud, identity, served


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with (
        identity(tmp_path_factory.mktemp("image")) as cloud,
        served(api.image.app.create(cloud.settings), cloud.settings.port("image")),
    ):
        yield cloud


@pytest.fixture(scope="session")
def admin(cloud: Cloud) -> Api:
    return cloud.known("admin", "admin")


@pytest.fixture(scope="session")
def service(cloud: Cloud) -> Api:
    return cloud.known("nova", "service")


@pytest.fixture
def demo(cloud: Cloud) -> Api:
    """A member of a project of its own."""
    return cloud.tenant()


@pytest.fixture
def other(cloud: Cloud) -> Api:
    """A member of another project."""
    return cloud.tenant()


@pytest.fixture(scope="session")
def anyone(cloud: Cloud) -> Api:
    """A member whose project several tests share."""
    return cloud.tenant()
