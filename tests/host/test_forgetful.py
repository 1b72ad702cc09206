"""libvirt's test driver forgets its domains with its daemon. A host that pretends has them again, running or off, as a
hypervisor's outlive theirs: else a guest that is off looks like one that is lost."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.contracts.guarded import Guarded
from infra.contracts.hypervisor import DomainSpec, NicOnGuest
from infra.contracts.power import PowerOff
from infra.contracts.power_states import RUNNING, SHUTDOWN
from infra.host.driver import Driver
from infra.settings import Settings
from tests.host.cloud import Cloud, new_id
from tests.host.specs import spec, vif


def quiet(*_: Any) -> None:
    pass


def daemon_dies(driver: Driver) -> None:
    """With it all domains: each connection to such an address has its own."""
    driver._domains._libvirt._drop("its daemon died")


@pytest.fixture
def driver(cloud: Cloud, host: Settings, tmp_path: Path) -> Iterator[Driver]:
    (tmp_path / "node.xml").write_text("<node/>")
    driver = Driver(host.model_copy(update={"libvirt_uri": f"test://{tmp_path}/node.xml"}), cloud.control)
    yield driver
    for instance_id in driver.domains():
        driver.destroy(instance_id)


@pytest.fixture
def guest(cloud: Cloud, driver: Driver) -> DomainSpec:
    wanted = spec(cloud.claim(new_id()), vifs=[vif()])
    driver.spawn(wanted, quiet)
    return wanted


def test_what_ran_runs_and_what_was_off_is_off(driver: Driver, guest: DomainSpec) -> None:
    for _ in range(2):
        daemon_dies(driver)
        assert driver.domains() == {guest.instance_id: RUNNING}
    driver.power.off(PowerOff(instance_id=guest.instance_id, attempt=guest.attempt), quiet)
    for _ in range(2):
        daemon_dies(driver)
        assert driver.domains() == {guest.instance_id: SHUTDOWN}
    driver.power.on(Guarded(instance_id=guest.instance_id, attempt=guest.attempt), quiet)
    daemon_dies(driver)
    assert driver.domains() == {guest.instance_id: RUNNING}
    driver.destroy(guest.instance_id)
    daemon_dies(driver)
    assert driver.domains() == {}


def test_a_guest_whose_worker_died_right_after_its_start_is_kept(
    cloud: Cloud, driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The step's next try found the guest running, and nothing was noted of it: the daemon's end was the guest's."""
    wanted = spec(cloud.claim(new_id()))
    with monkeypatch.context() as dying:
        start = driver._domains.start

        def last(instance_id: str, **how: Any) -> int:
            start(instance_id, **how)
            raise KeyboardInterrupt

        dying.setattr(driver._domains, "start", last)
        with pytest.raises(KeyboardInterrupt):
            driver.spawn(wanted, quiet)
    assert driver.spawn(wanted, quiet).power_state == RUNNING
    daemon_dies(driver)
    assert driver.domains() == {wanted.instance_id: RUNNING}


def test_an_interface_put_in_while_it_is_off_starts_nothing(driver: Driver, guest: DomainSpec) -> None:
    more = vif("0b3e3a2e-0000-4000-8000-000000000002", mac_address="fa:16:3e:00:00:02")
    driver.power.off(PowerOff(instance_id=guest.instance_id, attempt=guest.attempt), quiet)
    driver.interfaces.plug(NicOnGuest(instance_id=guest.instance_id, attempt=guest.attempt, vif=more), quiet)
    daemon_dies(driver)
    assert driver.domains() == {guest.instance_id: SHUTDOWN}
    assert more.mac_address in (driver.definitions.read(guest.instance_id) or "")
