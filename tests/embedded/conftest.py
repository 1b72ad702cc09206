"""People of the shared Keystone and Glance."""

from functools import partial

import pytest

from tests.embedded.people import Api, Make, person
from tests.openstack import OpenStack


@pytest.fixture
def make(openstack: OpenStack) -> Make:
    return partial(person, openstack)


@pytest.fixture(scope="package")
def admin(openstack: OpenStack) -> Api:
    return Api(openstack, openstack.token("admin"))
