"""A real guest gets another flavor and its old one again."""

import json
import subprocess
from xml.etree.ElementTree import fromstring

import pytest
from temporalio.exceptions import ApplicationError

from infra.contracts.aside import Aside
from infra.contracts.hypervisor import FlavorFacts
from infra.contracts.power import PowerOn
from infra.contracts.resize import ShapeOnHost
from infra.host.keeper import Keeper
from infra.host.shapes import Shapes, shape_of
from tests.host.cloud import until
from tests.host.hypervisor import Hypervisor
from tests.host.test_guest import RUNNING, Built, driver, guest, hypervisor, quiet

__all__ = ["driver", "guest", "hypervisor"]
OLD = FlavorFacts(id="1", name="m1.nano", vcpus=1, ram=64)
NEW = FlavorFacts(id="2", name="m1.micro", vcpus=2, ram=96, disk=1)


def disk_of(guest: Built) -> int:
    """Bytes, as a guest sees them."""
    disk = str(guest.driver._paths.disk(guest.spec.instance_id))
    told = subprocess.run(["qemu-img", "info", "-U", "--output=json", disk], capture_output=True, text=True, check=True)
    return int(json.loads(told.stdout)["virtual-size"])


def test_another_flavor_and_back(guest: Built, hypervisor: Hypervisor) -> None:
    id, shapes = guest.spec.instance_id, Shapes(hypervisor.settings, guest.driver)
    keeper = Keeper(hypervisor.settings, guest.driver)
    old, new = (ShapeOnHost(instance_id=id, attempt=1, flavor=flavor) for flavor in (OLD, NEW))
    kept = Aside(instance_id=id, attempt=1, label="resize", request_id="req-1", disk="copied", runs=True)
    guest.spawn()
    until(guest.booted)
    before = disk_of(guest)
    assert shapes.check(old).power_state == RUNNING
    keeper.set_aside(kept, quiet)
    for _ in range(2):
        shapes.change(new, quiet)
    guest.driver.power.on(PowerOn(instance_id=id, attempt=1), quiet)
    assert shapes.check(new).power_state == RUNNING and disk_of(guest) == 1 << 30
    live = guest.driver._domains.live_xml(id)
    assert live and shape_of(fromstring(live)) == ("m1.micro", 2, 96)
    with pytest.raises(ApplicationError, match="does not have this flavor"):
        shapes.check(old)
    keeper.bring_back(kept, quiet)
    assert shapes.check(old).power_state == RUNNING and disk_of(guest) == before
