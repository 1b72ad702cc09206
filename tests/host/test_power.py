"""The power of a real guest: each step once, and once more; what libvirt and the guest show afterwards."""

import pytest
from temporalio.exceptions import ApplicationError

from infra.contracts.errors import HOST_CANNOT
from infra.contracts.power import Guarded, PowerOff, PowerOn, Reboot
from tests.host.cloud import Cloud, until
from tests.host.hypervisor import Hypervisor
from tests.host.test_guest import PAUSED, RUNNING, SHUTDOWN, SIGN, Built, driver, guest, hypervisor, quiet

__all__ = ["driver", "guest", "hypervisor"]


def held(guest: Built) -> Guarded:
    return Guarded(instance_id=guest.spec.instance_id, attempt=guest.spec.attempt)


def boots(guest: Built) -> int:
    return guest.log.count(SIGN)


def state(guest: Built) -> int:
    return guest.driver.domains()[guest.spec.instance_id]


def test_pause_and_unpause(guest: Built) -> None:
    guest.spawn()
    until(guest.booted)
    power = guest.driver.power
    for _ in range(2):
        assert power.pause(held(guest), quiet).power_state == PAUSED
        assert state(guest) == PAUSED
    for _ in range(2):
        assert power.unpause(held(guest), quiet).power_state == RUNNING
        assert state(guest) == RUNNING
    assert boots(guest) == 1


def test_suspend_survives_libvirtd_and_resumes_where_it_stood(guest: Built, hypervisor: Hypervisor) -> None:
    guest.spawn()
    until(guest.booted)
    power = guest.driver.power
    for _ in range(2):
        assert power.suspend(held(guest), quiet).power_state == SHUTDOWN
        assert not hypervisor.qemu(guest.spec.instance_id)
    hypervisor.kill()
    hypervisor.start()
    for _ in range(2):
        assert power.resume(held(guest), quiet).power_state == RUNNING
    assert hypervisor.qemu(guest.spec.instance_id)
    assert boots(guest) == 1  # it went on, it was not booted anew


def test_off_ends_a_guest_that_does_not_listen_and_on_begins_it_anew(guest: Built) -> None:
    guest.spawn()
    until(guest.booted)
    power = guest.driver.power
    off = PowerOff(**held(guest).model_dump(), timeout_s=1)  # a boot sector knows no ACPI
    assert power.off(off, quiet).parts == {"ended by the host": 0.0}
    assert state(guest) == SHUTDOWN
    assert power.off(off, quiet).parts == {}  # it was off
    on = PowerOn(**held(guest).model_dump())
    for _ in range(2):
        assert power.on(on, quiet).power_state == RUNNING
    until(lambda: boots(guest) == 2)


def test_a_reboot_happens_once_for_each_request(guest: Built) -> None:
    guest.spawn()
    until(guest.booted)
    power = guest.driver.power
    first = Reboot(**held(guest).model_dump(), soft=False, request_id="req-1")
    for _ in range(2):
        assert power.reboot(first, quiet).power_state == RUNNING
    until(lambda: boots(guest) == 2)
    power.reboot(first.model_copy(update={"request_id": "req-2"}), quiet)
    until(lambda: boots(guest) == 3)


def test_an_interrupt_reaches_a_running_guest_only(guest: Built) -> None:
    guest.spawn()
    power = guest.driver.power
    assert power.inject_nmi(held(guest), quiet).power_state == RUNNING
    power.off(PowerOff(**held(guest).model_dump(), timeout_s=0), quiet)
    with pytest.raises(ApplicationError, match="is not running"):
        power.inject_nmi(held(guest), quiet)


def test_a_host_that_lost_the_claim_leaves_the_guest_alone(guest: Built, cloud: Cloud) -> None:
    """Mechanism: the fence, before each step."""
    guest.spawn()
    cloud.unclaim(guest.spec.instance_id)
    power = guest.driver.power
    for act in (power.pause, power.suspend, power.unpause, power.resume, power.inject_nmi):
        with pytest.raises(ApplicationError) as refused:
            act(held(guest), quiet)
        assert refused.value.type == HOST_CANNOT
    with pytest.raises(ApplicationError):
        power.off(PowerOff(**held(guest).model_dump()), quiet)
    assert state(guest) == RUNNING
