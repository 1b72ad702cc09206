"""A real guest whose volume dies under it: it is paused until the volume answers, and meanwhile each step ends well or
says at once why it cannot."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

import libvirt
import pytest
from temporalio.exceptions import ApplicationError

from infra.contracts.errors import HOST_CANNOT
from infra.contracts.guarded import Guarded
from infra.contracts.image import ImageOnHost
from infra.contracts.power import PowerOff, PowerOn, Reboot
from infra.contracts.volume import DiskOnGuest, VolumeRequest, VolumesOnHost
from infra.host.libvirt.faults import LibvirtDown
from infra.host.services.volumes import VolumeConnector
from infra.host.waiting import FIRST_PAUSE_S
from infra.nbd import volumes_dir
from tests.host.cloud import Cloud, new_id, until
from tests.host.glance import Glance, StoredImage
from tests.host.hypervisor import Hypervisor
from tests.host.test_full_disk import WRITER
from tests.host.test_guest import MIB, PAUSED, RUNNING, SHUTDOWN, Built, driver, guest, hypervisor, quiet
from tests.host.test_states import active, record, told

__all__ = ["driver", "guest", "hypervisor"]
ON_SECOND = WRITER.replace(bytes.fromhex("b280"), bytes.fromhex("b281"))
"""Writes to the second disk, W or E to the serial port each time."""


@dataclass
class Writing:
    """A guest that writes to its volume."""

    cloud: Cloud
    guest: Built
    hypervisor: Hypervisor
    volume_id: str
    attachment_id: str

    @property
    def id(self) -> str:
        return self.guest.spec.instance_id

    @property
    def held(self) -> dict[str, object]:
        return {"instance_id": self.id, "attempt": 1}

    def is_(self, state: int) -> bool:
        return self.guest.driver.domains() == {self.id: state}

    def refuse_writes(self, refuse: bool) -> None:
        """The volume's own file does, which the storage daemon has open; its export stays."""
        file = volumes_dir(self.cloud.settings) / f"{self.volume_id}.raw"
        if subprocess.run(["chattr", "+i" if refuse else "-i", str(file)], capture_output=True).returncode:
            pytest.skip("no file can be made immutable here")

    def end_attachment(self) -> None:
        """Behind the server's back."""
        with self.cloud.user("admin") as admin:
            admin.call("volume", "DELETE", f"/v3/attachments/{self.attachment_id}")
        until(lambda: self.is_(PAUSED))

    def goes_on(self) -> None:
        before = len(self.guest.log)

        def writes() -> bool:
            self.guest.driver.resume_waiting()
            return len(self.guest.log) > before + 3

        until(writes)
        assert "E" not in self.guest.log, "the guest saw an I/O error"


@pytest.fixture
def writing(volumes: Cloud, guest: Built, hypervisor: Hypervisor, glance: Glance) -> Iterator[Writing]:
    glance.images[image := new_id()] = StoredImage(ON_SECOND.ljust(MIB, b"\0"), "raw")
    id = guest.spec.instance_id
    guest.store.remove(id)
    guest.spec.disk = guest.store.fetch(ImageOnHost(instance_id=id, image_id=image, disk_gb=0), quiet)
    with volumes.user() as demo:
        made = demo.call("volume", "POST", "/v3/volumes", {"volume": {"size": 1}})["volume"]["id"]
        until(lambda: demo.call("volume", "GET", f"/v3/volumes/{made}")["volume"]["status"] == "available")
        held = VolumeRequest(volume_id=made, attachment_id=new_id(), boot_index=1)
        want = VolumesOnHost(instance_id=id, project_id=demo.project_id, volumes=[held])
        connector = VolumeConnector(hypervisor.settings, volumes.session)
        guest.spec.volumes = connector.attach(want, quiet).volumes
        guest.spawn()
        until(lambda: "WWW" in guest.log)
        yield Writing(volumes, guest, hypervisor, made, held.attachment_id)
        guest.driver.destroy(id)
        connector.detach(want, quiet)


@pytest.mark.skipif(not shutil.which("chattr") or os.geteuid() != 0, reason="no file can be made immutable here")
def test_a_volume_that_answers_errors_is_waited_for(writing: Writing) -> None:
    """Mechanism: WaitingGuests. Its server takes connections all the while, so that each try could be the good one;
    they were three seconds apart for as long as it lasted."""
    driver, power = writing.guest.driver, writing.guest.driver.power
    active(writing.cloud, driver, writing.id)
    driver.events.start()
    writing.refuse_writes(True)
    try:
        until(lambda: writing.is_(PAUSED))
        until(lambda: record(writing.cloud, writing.id) == ("active", PAUSED))
        assert told(writing.cloud, writing.id) == [("wait_for_disk", "guest_paused", "a disk does not answer: vdb")]
        assert driver.waits.all() == {writing.id: ["vdb"]}
        known = driver.resume_waiting._known

        def tried() -> bool:
            driver.resume_waiting()
            return writing.id in known and known[writing.id].pause >= 4 * FIRST_PAUSE_S

        until(tried)
        until(lambda: writing.is_(PAUSED))
        with pytest.raises(ApplicationError, match=r"waits for its disk /dev/vdb.* cannot be suspended"):
            power.suspend(Guarded.model_validate(writing.held), quiet)
        out = DiskOnGuest.model_validate({**writing.held, "volume": writing.guest.spec.volumes[0]})
        with pytest.raises(ApplicationError, match=r"waits for its disk /dev/vdb.* stop the server first"):
            driver.disks.unplug(out, quiet)
        power.on(PowerOn.model_validate(writing.held), quiet)  # an undo's
        assert writing.is_(PAUSED)
    finally:
        writing.refuse_writes(False)
    writing.goes_on()
    assert driver.waits.all() == {}
    until(lambda: record(writing.cloud, writing.id) == ("active", RUNNING))
    assert len(told(writing.cloud, writing.id)) == 1, "told once"


def test_what_its_owner_paused_meanwhile_stays_paused(writing: Writing) -> None:
    """Mechanism: GuestFiles.is_paused. libvirt goes on telling of the error alone, and the guest was let go on as soon
    as its volume was back, under a server that its record had as paused."""
    driver, power = writing.guest.driver, writing.guest.driver.power
    this = Guarded.model_validate(writing.held)
    writing.cloud.stop_nbd()
    until(lambda: writing.is_(PAUSED))
    driver.resume_waiting()
    assert power.unpause(this, quiet).power_state == PAUSED, "its owner lets it go on, its disk does not"
    assert power.pause(this, quiet).power_state == PAUSED
    writing.cloud.start_nbd()
    known = driver.resume_waiting._known

    def due() -> bool:
        known.clear()
        driver.resume_waiting()
        return not writing.is_(PAUSED)

    with pytest.raises(AssertionError):
        until(due, 3)
    assert power.unpause(this, quiet).power_state in (RUNNING, PAUSED)  # the server may not be there yet
    writing.goes_on()


def test_an_attachment_that_was_ended_lets_go_of_its_guest(writing: Writing, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mechanisms: PowerSwitch._require_way_back, _shut_down, _start_paused. A soft reboot ended the guest; a stop
    waited for one that could not hear it; a start that failed left it half begun, and in QEMU."""
    driver, power = writing.guest.driver, writing.guest.driver.power
    writing.end_attachment()
    pid = writing.hypervisor.qemu(writing.id)
    for soft, spec in ((True, None), (False, None), (False, writing.guest.spec)):
        with pytest.raises(ApplicationError, match="the volume at /dev/vdb does not answer") as refused:
            power.reboot(Reboot.model_validate({**writing.held, "soft": soft, "request_id": "r", "spec": spec}), quiet)
        assert refused.value.type == HOST_CANNOT
    with pytest.raises(ApplicationError, match="the volume at /dev/vdb does not answer"):
        power.off(PowerOff.model_validate({**writing.held, "comes_back": True}), quiet)
    assert writing.is_(PAUSED) and writing.hypervisor.qemu(writing.id) == pid
    monkeypatch.setattr(power, "patience_s", 3600)
    assert power.off(PowerOff.model_validate(writing.held), quiet).power_state == SHUTDOWN
    assert power.on_as(PowerOn.model_validate(writing.held), quiet).lacking == "libvirt could not start it"
    with pytest.raises(LibvirtDown, match="the volume at /dev/vdb does not answer"):
        power.on(PowerOn.model_validate(writing.held), quiet)
    assert writing.is_(SHUTDOWN) and not writing.hypervisor.qemu(writing.id)
    out = DiskOnGuest.model_validate({**writing.held, "volume": writing.guest.spec.volumes[0]})
    driver.disks.unplug(out, quiet)
    assert power.on_as(PowerOn.model_validate(writing.held), quiet).power_state == RUNNING
    assert not driver._domains.has_disk(writing.id, "vdb")


def test_one_that_is_suspended_keeps_its_memory_until_it_boots_anew(writing: Writing) -> None:
    """It cannot go on without its volume. Taken out by a look, it is not there for the hard reboot, which is what is
    left to its owner."""
    driver, power = writing.guest.driver, writing.guest.driver.power
    this = Guarded.model_validate(writing.held)
    power.suspend(this, quiet)
    with writing.cloud.user("admin") as admin:
        admin.call("volume", "DELETE", f"/v3/attachments/{writing.attachment_id}")
    silent = (LibvirtDown, "the volume at /dev/vdb does not answer")
    for error, words in (silent, (libvirt.libvirtError, "Failed to connect")):
        with pytest.raises(error, match=words) as told:
            power.resume(this, quiet)
        assert writing.guest.spec.volumes[0].export not in str(told.value)
        assert writing.is_(SHUTDOWN) and driver._domains.saved(writing.id)
        driver.disks.unplug(
            DiskOnGuest.model_validate({**writing.held, "volume": writing.guest.spec.volumes[0]}), quiet
        )
    anew = writing.guest.spec.model_copy(update={"volumes": []})
    power.reboot(Reboot.model_validate({**writing.held, "soft": False, "request_id": "r", "spec": anew}), quiet)
    assert writing.is_(RUNNING) and not driver._domains.has_disk(writing.id, "vdb")


def test_a_start_that_died_before_the_volumes_begins_anew(writing: Writing, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mechanism: PowerSwitch._start_paused. The repeat found a guest that is paused, and let it go on without them."""

    def died(*_: object) -> None:
        raise ConnectionResetError("the worker")

    driver, power = writing.guest.driver, writing.guest.driver.power
    power.off(PowerOff.model_validate({**writing.held, "timeout_s": 0}), quiet)
    with monkeypatch.context() as patched:
        patched.setattr(driver._domains, "attach", died)
        with pytest.raises(ConnectionResetError):
            power.on(PowerOn.model_validate(writing.held), quiet)
    assert writing.is_(PAUSED)
    power.on(PowerOn.model_validate(writing.held), quiet)
    assert writing.is_(RUNNING) and driver._domains.has_disk(writing.id, "vdb")
