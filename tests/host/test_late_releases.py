"""What a guest gives back after its server was told that it keeps it is put in again. A boot sector heeds no request to
give a device back; QEMU meets it when the guest is reset."""

import pytest
from temporalio.exceptions import ApplicationError

from infra.contracts.hypervisor import NicOnGuest
from infra.contracts.volume import DiskOnGuest
from infra.host import guest_steps
from infra.host.driver import Driver
from infra.host.late_releases import TRIES
from tests.host.cloud import Cloud, until
from tests.host.hypervisor import Hypervisor
from tests.host.specs import vif
from tests.host.test_disks import disk, has
from tests.host.test_guest import Built, driver, guest, quiet
from tests.host.test_interfaces import hypervisor, place, runs_with, starts_with

__all__ = ["disk", "driver", "guest", "hypervisor", "place"]


@pytest.fixture
def nic(guest: Built, disk: DiskOnGuest, monkeypatch: pytest.MonkeyPatch) -> NicOnGuest:
    """An interface which the guest keeps as it keeps the volume, whatever it is asked."""
    for steps in (guest.driver.disks, guest.driver.interfaces):
        monkeypatch.setattr(steps, "detach_s", 1.5)
    monkeypatch.setattr(guest_steps, "ASK_AGAIN_S", 0.4)
    plugged = NicOnGuest(instance_id=disk.instance_id, attempt=disk.attempt, vif=vif())
    guest.spawn()
    until(guest.booted)
    guest.driver.disks.plug(disk, quiet)
    guest.driver.interfaces.plug(plugged, quiet)
    refused(guest, disk, plugged)
    assert has(guest) and runs_with(guest)
    return plugged


def refused(guest: Built, disk: DiskOnGuest, nic: NicOnGuest) -> None:
    with pytest.raises(ApplicationError, match="did not release the device /dev/vdb"):
        guest.driver.disks.unplug(disk, quiet)
    with pytest.raises(ApplicationError, match="did not release the device fa:16"):
        guest.driver.interfaces.unplug(nic, quiet)


def reset(guest: Built) -> None:
    """As by the guest's own reboot, until both are gone from it."""
    id = guest.spec.instance_id
    guest.driver._domains._libvirt.call(lambda connection: connection.lookupByUUIDString(id).reset())
    until(lambda: not has(guest) and not runs_with(guest))


def test_it_has_again_what_a_reset_took(
    guest: Built, disk: DiskOnGuest, nic: NicOnGuest, hypervisor: Hypervisor, cloud: Cloud
) -> None:
    """Mechanism: LateReleases. The running guest was without, and its record said that it has them. It is told by
    libvirt's event, and by a look where no event could tell; the claim is asked for."""

    def has_both() -> bool:
        guest.driver.late_releases()
        return has(guest) and runs_with(guest)

    assert has_both()
    reset(guest)
    until(has_both)
    assert guest.driver.files.volumes(disk.instance_id) and starts_with(guest)
    refused(guest, disk, nic)
    reset(guest)
    next_worker = Driver(hypervisor.settings, cloud.control)
    assert guest.spec.instance_id in next_worker.domains()
    next_worker.late_releases()
    assert has(guest) and runs_with(guest)
    refused(guest, disk, nic)
    reset(guest)
    cloud.unclaim(guest.spec.instance_id)
    for _ in range(TRIES):
        with pytest.raises(ApplicationError, match="no longer holds the claim"):
            has_both()
    assert not has_both() and not has(guest) and not runs_with(guest)


def test_what_is_asked_for_once_more_stays_out(guest: Built, disk: DiskOnGuest, nic: NicOnGuest) -> None:
    reset(guest)
    guest.driver.disks.unplug(disk, quiet)
    guest.driver.interfaces.unplug(nic, quiet)
    guest.driver.late_releases()
    assert not has(guest) and not runs_with(guest) and not starts_with(guest)
