"""Fixtures of the volume tests: one cloud for all of them, and an image service that can misbehave."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.openstack import OpenStack
from tests.ports import free_port
from tests.volume.cloud import Cloud
from tests.volume.events import EventServer
from tests.volume.images import ImageServer


@pytest.fixture(scope="package")
def image_port(keystone: OpenStack) -> Iterator[int]:
    """Where the catalog says that images are."""
    port = free_port()
    with keystone.image_at(f"http://127.0.0.1:{port}"):
        yield port


@pytest.fixture(scope="package")
def whole_cloud(keystone: OpenStack, image_port: int) -> Iterator[Cloud]:
    with tempfile.TemporaryDirectory(prefix="kv-") as state:
        cloud = Cloud(keystone, Path(state))
        try:
            for name in ("nbd", "nbd-gate", "volume"):
                cloud.start(name)
            for user in ("demo", "admin"):
                cloud.token(user)
                quota = {"quota_set": {"volumes": 200, "snapshots": 200, "gigabytes": 100000}}
                cloud.ok("PUT", f"/os-quota-sets/{cloud.project_ids[user]}", quota, user="admin")
            yield cloud
        finally:
            cloud.close()


@pytest.fixture
def cloud(whole_cloud: Cloud) -> Cloud:
    """The cloud with every process running."""
    for name in ("nbd", "nbd-gate", "volume"):
        if name not in whole_cloud.processes:
            whole_cloud.start(name)
    return whole_cloud


@pytest.fixture
def images(image_port: int) -> Iterator[ImageServer]:
    with ImageServer(image_port) as server:
        yield server


@pytest.fixture
def compute(cloud: Cloud) -> Iterator[EventServer]:
    with EventServer(cloud.settings.port("compute")) as server:
        yield server
