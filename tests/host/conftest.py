"""One cloud for all tests of the compute host; each test has a state directory for its own host's files."""

import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.settings import Settings
from tests.host.cloud import Cloud
from tests.host.glance import Glance
from tests.host.place import Place
from tests.openstack import OpenStack
from tests.ports import free_port


@pytest.fixture(scope="package")
def image_service(keystone: OpenStack) -> Iterator[Glance]:
    port = free_port()
    with Glance(port) as server, keystone.image_at(f"http://127.0.0.1:{port}"):
        yield server


@pytest.fixture(scope="package")
def cloud(keystone: OpenStack, image_service: Glance) -> Iterator[Cloud]:
    with tempfile.TemporaryDirectory(prefix="kh-") as state:
        cloud = Cloud(keystone, Path(state))
        try:
            cloud.start()
            yield cloud
        finally:
            cloud.close()


@pytest.fixture(scope="package")
def volumes(cloud: Cloud) -> Cloud:
    """The cloud with its volume service."""
    cloud.start_volumes()
    with cloud.user("admin") as admin, cloud.user() as demo:  # the tests of the folder share one project's
        quota = {"quota_set": {"volumes": 200, "gigabytes": 2000}}
        admin.call("volume", "PUT", f"/v3/os-quota-sets/{demo.project_id}", quota)
    return cloud


@pytest.fixture
def glance(image_service: Glance) -> Glance:
    """The image service without images and faults."""
    image_service.reset()
    return image_service


@pytest.fixture
def host(cloud: Cloud, tmp_path: Path) -> Settings:
    """Settings of a host with an empty directory of its own, on libvirt's test driver, without networking."""
    own = {"state_dir": tmp_path, "virt_type": "test", "libvirt_uri": "test:///default", "host_networking": "none"}
    return cloud.settings.model_copy(update=own)


@pytest.fixture
def place(cloud: Cloud, host: Settings) -> Iterator[Place]:
    changes = {"netns": f"kp-{uuid.uuid4().hex[:8]}", "host_networking": "kilonova"}
    with cloud.user("admin") as admin, cloud.user("demo") as tenant:
        place = Place(cloud, host.model_copy(update=changes), admin, tenant)
        place.plane.ensure_namespace()
        try:
            yield place
        finally:
            place.close()
