"""An interface put into a real guest and taken out again: running, off, and when it does not listen."""

import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from temporalio.exceptions import ApplicationError

from infra.contracts.guarded import Guarded
from infra.contracts.hypervisor import NicOnGuest
from infra.contracts.power import PowerOff, PowerOn
from infra.host.files import configdrive
from infra.host.libvirt.looks import nics
from tests.host.cloud import Cloud, until
from tests.host.hypervisor import Hypervisor
from tests.host.specs import vif
from tests.host.test_guest import Built, driver, guest, quiet
from workers.layout import guest_uid

__all__ = ["driver", "guest"]
MAC = "fa:16:3e:00:00:01"


@pytest.fixture(scope="module")
def place() -> Iterator[str]:
    """A network namespace with the bridge that the interfaces are to be on."""
    name = f"ki-{uuid.uuid4().hex[:8]}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        subprocess.run(["ip", "-n", name, "link", "add", "br-provider", "type", "bridge"], check=True)
        yield name
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True)


@pytest.fixture(scope="module")
def hypervisor(cloud: Cloud, place: str) -> Iterator[Hypervisor]:
    with tempfile.TemporaryDirectory(prefix="ki-") as state:
        own = {"state_dir": Path(state), "host_networking": "none", "guest_uid": guest_uid(cloud.settings)}
        settings = cloud.settings.model_copy(update=own)
        settings.host_dir.mkdir(parents=True)
        running = Hypervisor(settings, place)
        try:
            yield running
        finally:
            running.close()


def runs_with(guest: Built) -> bool:
    return MAC in nics(guest.driver._domains.live_xml(guest.spec.instance_id) or "")


def starts_with(guest: Built) -> bool:
    return MAC in nics(guest.driver.definitions.read(guest.spec.instance_id) or "")


def test_into_a_running_guest_that_keeps_it_and_out_of_one_that_is_off(
    guest: Built, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A boot sector heeds no request to give a device back."""
    monkeypatch.setattr(guest.driver.interfaces, "detach_s", 2.0)
    held = {"instance_id": guest.spec.instance_id, "attempt": guest.spec.attempt}
    nic, plugger = NicOnGuest(**held, vif=vif()), guest.driver.interfaces
    guest.spawn()
    until(guest.booted)
    for _ in range(2):
        plugger.plug(nic, quiet)
        assert runs_with(guest) and starts_with(guest)
    guest.driver.power.pause(Guarded(**held), quiet)
    with pytest.raises(ApplicationError, match=f"is paused and cannot release the device {MAC}"):
        plugger.unplug(nic, quiet)
    guest.driver.power.unpause(Guarded(**held), quiet)
    with pytest.raises(ApplicationError, match=f"did not release the device {MAC}"):
        plugger.unplug(nic, quiet)
    assert runs_with(guest) and starts_with(guest), "what the guest keeps, it has again when it starts"
    power = guest.driver.power
    power.off(PowerOff(**held, timeout_s=0), quiet)
    power.on(PowerOn(**held), quiet)
    assert runs_with(guest)
    until(guest.booted)
    with pytest.raises(ApplicationError, match=f"did not release the device {MAC}"):
        plugger.unplug(nic.model_copy(update={"anew": True}), quiet)
    assert runs_with(guest) and not starts_with(guest), "but for what is undone, whose port goes"
    power.off(PowerOff(**held, timeout_s=0), quiet)
    for _ in range(2):
        plugger.unplug(nic, quiet)
        assert not starts_with(guest)
    plugger.plug(nic, quiet)
    assert starts_with(guest) and not runs_with(guest)
    assert power.on_as(PowerOn(**held), quiet).lacking == "its config drive tells of other interfaces"
    anew = guest.spec.model_copy(update={"vifs": [vif()]})
    assert power.on_as(PowerOn(**held, spec=anew), quiet).lacking == "" and runs_with(guest)
    assert configdrive.tells_of(guest.driver._paths.config_drive(guest.spec.instance_id), anew)
    power.off(PowerOff(**held, timeout_s=0), quiet)
    assert power.on_as(PowerOn(**held), quiet).lacking == ""
    nowhere = NicOnGuest(**held, vif=vif(bridge="br-nowhere", mac_address="fa:16:3e:00:00:02"))
    power.on(PowerOn(**held), quiet)
    with pytest.raises(ApplicationError, match="Failed to attach network adapter device"):
        plugger.plug(nowhere, quiet)
    cloud.unclaim(guest.spec.instance_id)
    with pytest.raises(ApplicationError, match="no longer holds the claim"):
        plugger.unplug(nic, quiet)
