"""A real guest whose storage daemon hangs, as apart from one that died: it takes connections, and answers nothing. QEMU
waits for it, and whatever waits for QEMU does; each step ends in time, and says what is so."""

import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import pytest
from temporalio.exceptions import ApplicationError

from infra.contracts.guarded import Guarded
from infra.contracts.network import PortsOnHost
from infra.contracts.power import PowerOff, PowerOn, Reboot
from infra.contracts.resize import Leaving
from infra.contracts.snapshot import SnapshotOnHost
from infra.contracts.volume import DiskOnGuest, VolumeRequest, VolumesOnHost
from infra.host.libvirt.faults import LibvirtDown
from infra.host.mover import Mover
from infra.host.services.rest import Unexpected
from infra.host.services.volumes import VolumeConnector
from infra.host.snapshots import Snapshots
from tests.host.cloud import new_id
from tests.host.test_waiting import PAUSED, RUNNING, SHUTDOWN, Writing, driver, guest, hypervisor, quiet, writing

__all__ = ["driver", "guest", "hypervisor", "writing"]


@pytest.fixture
def hung(writing: Writing) -> Iterator[Writing]:
    daemon = writing.cloud._nbd
    assert daemon
    daemon.send_signal(signal.SIGSTOP)
    try:
        yield writing
    finally:
        daemon.send_signal(signal.SIGCONT)


def in_time(do: Callable[[], object]) -> object:
    """Its result, or how it failed. QEMU is ended ten seconds after it was asked to end, libvirt's calls are given up
    after thirty; what waits for the volume itself has no end."""
    begun = time.monotonic()
    try:
        return do()
    except (ApplicationError, LibvirtDown) as error:
        return error
    finally:
        assert time.monotonic() - begun < 120


def test_each_step_ends_and_says_what_is_so(hung: Writing, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mechanism: the question of `reach`, which the storage daemon itself has to answer: the gate in front of it takes
    connections all the while. A suspend held its server for as long as the volume did not answer, and a hard reboot
    ended a guest that it could not start again."""
    driver, power = hung.guest.driver, hung.guest.driver.power
    this, pid = Guarded.model_validate(hung.held), hung.hypervisor.qemu(hung.id)
    monkeypatch.setattr(driver.disks, "detach_s", 2.0)
    snapshots = Snapshots(hung.hypervisor.settings, hung.cloud.session, driver)
    copy = SnapshotOnHost(instance_id=hung.id, attempt=1, image_id=new_id())
    snapshots.take(copy, quiet)
    assert snapshots._file(copy).exists(), "of its root disk, which answers"
    snapshots.remove(copy)
    out = DiskOnGuest.model_validate({**hung.held, "volume": hung.guest.spec.volumes[0]})
    anew = Reboot.model_validate({**hung.held, "soft": False, "request_id": "r", "spec": hung.guest.spec})
    mover = Mover(driver, cast(Any, None), cast(Any, None))  # which it has for the way back
    nothing: dict[str, Any] = {"instance_id": hung.id, "project_id": "p"}
    leaving = Leaving(
        instance_id=hung.id,
        attempt=1,
        spec=hung.guest.spec,
        ports=PortsOnHost(**nothing, hostname="h", ports=[]),
        volumes=VolumesOnHost(**nothing, volumes=[]),
        runs=True,
    )
    told: tuple[tuple[Callable[[], object], str], ...] = (
        (lambda: power.suspend(this, quiet), "/dev/vdb does not answer: the guest cannot be suspended"),
        (lambda: power.pause(this, quiet), "/dev/vdb does not answer: the guest cannot be paused"),
        (lambda: power.reboot(anew, quiet), "the volume at /dev/vdb does not answer"),
        (lambda: mover.leave(leaving, quiet), "the volume at /dev/vdb does not answer"),
        (lambda: driver.disks.unplug(out, quiet), "did not release the device /dev/vdb, whose volume does not answer"),
    )
    for do, words in told:
        assert words in str(in_time(do)) and hung.hypervisor.qemu(hung.id) == pid
    in_time(lambda: driver._domains.pause(hung.id))  # QEMU has stopped its processors, and waits for what they wrote
    assert power.pause(this, quiet).power_state == PAUSED
    assert "/dev/vdb does not answer: the guest stays paused" in str(in_time(lambda: power.unpause(this, quiet)))
    off = PowerOff.model_validate({**hung.held, "timeout_s": 1})
    assert "ended by the host" in str(in_time(lambda: power.off(off, quiet)))
    started = PowerOn.model_validate({**hung.held, "spec": hung.guest.spec})
    assert "the volume at /dev/vdb does not answer" in str(in_time(lambda: power.on_as(started, quiet)))
    assert hung.is_(SHUTDOWN) and not hung.hypervisor.qemu(hung.id), "nothing is left half begun"


def test_no_pause_holds_a_thread_of_its_host(hung: Writing, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mechanism: PowerSwitch.pause asks first. The call to libvirt was given up, and its thread was not free until the
    storage answered; the host has sixteen, here one: it heard of no guest any more."""
    driver, power = hung.guest.driver, hung.guest.driver.power
    monkeypatch.setattr(driver._domains._libvirt, "_pool", alone := ThreadPoolExecutor(1))
    refused = in_time(lambda: power.pause(Guarded.model_validate(hung.held), quiet))
    assert hung.is_(RUNNING)
    assert "/dev/vdb does not answer: the guest cannot be paused" in str(refused)
    alone.shutdown(wait=False)


def test_one_that_is_deleted_meanwhile_ends(hung: Writing) -> None:
    """The volume service says that an export which is to end did not yet, and ends it later."""
    in_time(lambda: hung.guest.driver.destroy(hung.id))
    assert hung.guest.driver.domains() == {} and not hung.hypervisor.qemu(hung.id)
    held = VolumeRequest(volume_id=hung.volume_id, attachment_id=hung.attachment_id)
    want = VolumesOnHost(instance_id=hung.id, project_id="p", volumes=[held], deleting=True)
    connector = VolumeConnector(hung.hypervisor.settings, hung.cloud.session)
    with pytest.raises(Unexpected, match="export did not end yet"):
        connector.detach(want, quiet)


def test_what_a_snapshot_is_made_of_need_not_wait(writing: Writing) -> None:
    """Of a guest that waits for a volume, too: its root disk answers."""
    writing.end_attachment()
    snapshots = Snapshots(writing.hypervisor.settings, writing.cloud.session, writing.guest.driver)
    copy = SnapshotOnHost(instance_id=writing.id, attempt=1, image_id=new_id())
    snapshots.take(copy, quiet)
    assert snapshots._file(copy).exists() and writing.is_(PAUSED)
    still = copy.model_copy(update={"image_id": new_id(), "quiesce": True})
    with pytest.raises(ApplicationError, match="not enabled"):
        snapshots.take(still, quiet)
