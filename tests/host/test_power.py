"""The power of a real guest: each step once, and once more; what libvirt and the guest show afterwards."""

import re
from contextlib import closing

import libvirt
import pytest
from temporalio.exceptions import ApplicationError

from infra.contracts.errors import HOST_CANNOT
from infra.contracts.guarded import Guarded
from infra.contracts.power import PowerOff, PowerOn, Reboot
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


def test_off_ends_a_guest_that_does_not_listen_and_on_begins_it_anew(
    guest: Built, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the time that its image gives it, whatever the host's setting."""
    guest.spec.image_properties = {"os_shutdown_timeout": "1"}
    guest.spawn()
    until(guest.booted)
    power = guest.driver.power
    monkeypatch.setattr(power, "patience_s", 3600)
    off = PowerOff(**held(guest).model_dump())  # a boot sector knows no ACPI
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


def test_what_was_lost_or_damaged_is_made_anew_from_the_records(guest: Built, hypervisor: Hypervisor) -> None:
    """Mechanism: Definer.define_again. A definition lost, or changed by hand, and a config drive that is gone."""
    guest.spawn()
    until(guest.booted)
    power, id = guest.driver.power, guest.spec.instance_id
    power.off(PowerOff(**held(guest).model_dump(), timeout_s=0), quiet)
    drive = hypervisor.settings.host_dir / "instances" / id / "config.iso"
    told = drive.read_bytes()
    with closing(libvirt.open(hypervisor.settings.libvirt_uri)) as connection:
        connection.lookupByUUIDString(id).undefine()
    on = PowerOn(**held(guest).model_dump())
    assert power.on_as(on, quiet).lacking == "it has no definition"
    assert power.on_as(on.model_copy(update={"spec": guest.spec}), quiet).power_state == RUNNING
    until(lambda: boots(guest) == 2)
    assert drive.read_bytes() == told, "what the guest was told at its first boot stays"

    before = definition(hypervisor, id)
    with closing(libvirt.open(hypervisor.settings.libvirt_uri)) as connection:
        connection.defineXML(re.sub(r"<memory [^<]*</memory>", "<memory unit='MiB'>77</memory>", before))
    drive.unlink()
    hard = Reboot(**held(guest).model_dump(), soft=False, request_id="req-1", spec=guest.spec)
    for _ in range(2):
        assert power.reboot(hard, quiet).power_state == RUNNING
    until(lambda: boots(guest) == 3)
    assert definition(hypervisor, id) == before and drive.exists()


def test_a_hard_reboot_does_not_begin_from_memory_that_was_saved(guest: Built) -> None:
    """Mechanism: Definitions.forget_memory. The guest went on where it was suspended, which is no reboot."""
    guest.spawn()
    until(guest.booted)
    guest.driver.power.suspend(held(guest), quiet)
    hard = Reboot(**held(guest).model_dump(), soft=False, request_id="req-1", spec=guest.spec)
    assert guest.driver.power.reboot(hard, quiet).power_state == RUNNING
    until(lambda: boots(guest) == 2)


def definition(hypervisor: Hypervisor, instance_id: str) -> str:
    with closing(libvirt.open(hypervisor.settings.libvirt_uri)) as connection:
        return str(connection.lookupByUUIDString(instance_id).XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))
