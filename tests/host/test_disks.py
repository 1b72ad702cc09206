"""A volume put into a real guest and taken out again: while it runs, while it does not, and when it does not listen."""

from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree

import libvirt
import libvirt_qemu
import pytest
from temporalio.exceptions import ApplicationError

from activities.volume import Volume
from infra.contracts.guarded import Guarded
from infra.contracts.hypervisor import DomainRef
from infra.contracts.power import PowerOff, PowerOn
from infra.contracts.volume import (
    DiskOnGuest,
    DiskSize,
    DiskSwap,
    VolumeConnection,
    VolumeOnGuest,
    VolumeRequest,
    VolumesOnHost,
)
from infra.host import hotplug
from infra.host.hotplug import VolumePlugger
from infra.host.libvirt.domain_xml import volume_xml
from infra.host.services.volumes import VolumeConnector
from tests.host.cloud import Cloud, User, new_id, until
from tests.host.hypervisor import Hypervisor
from tests.host.steps import run
from tests.host.test_guest import RUNNING, Built, driver, guest, hypervisor, quiet

__all__ = ["driver", "guest", "hypervisor"]


def new_volume(demo: User, server: Guarded | DomainRef, gib: int = 1) -> VolumesOnHost:
    """A volume that is there, to be attached to the server as vdb."""
    made = demo.call("volume", "POST", "/v3/volumes", {"volume": {"size": gib}})["volume"]["id"]
    until(lambda: demo.call("volume", "GET", f"/v3/volumes/{made}")["volume"]["status"] == "available")
    return VolumesOnHost(
        instance_id=server.instance_id,
        project_id=demo.project_id,
        volumes=[VolumeRequest(volume_id=made, attachment_id=new_id(), device="vdb")],
        attempt=server.attempt,
    )


@pytest.fixture
def disk(volumes: Cloud, guest: Built, hypervisor: Hypervisor) -> Iterator[DiskOnGuest]:
    """A volume that is attached to the server in the volume service, and not in the guest yet."""
    with volumes.user() as demo:
        want = new_volume(demo, guest.spec)
        connector = VolumeConnector(hypervisor.settings, volumes.session)
        (connected,) = connector.attach(want, quiet).volumes
        yield DiskOnGuest(instance_id=guest.spec.instance_id, attempt=guest.spec.attempt, volume=connected)
        guest.driver.destroy(guest.spec.instance_id)
        connector.detach(want, quiet)


def has(guest: Built) -> bool:
    return guest.driver._domains.has_disk(guest.spec.instance_id, "vdb")


def test_into_a_running_guest_and_into_it_again_when_it_starts(guest: Built, disk: DiskOnGuest) -> None:
    guest.spawn()
    until(guest.booted)
    for _ in range(2):
        run(guest.steps.plug_disk, disk)
        assert has(guest)
    held = {"instance_id": disk.instance_id, "attempt": disk.attempt}
    guest.driver.power.off(PowerOff(**held, timeout_s=0), quiet)
    assert not has(guest)
    guest.driver.power.on(PowerOn(**held), quiet)
    assert has(guest)


def test_on_scsi_where_the_image_has_it(guest: Built, volumes: Cloud, hypervisor: Hypervisor) -> None:
    """There from the start, put in while it runs, and given back: beside root disk and config drive on the same bus."""
    spec, domains, connector = guest.spec, guest.driver._domains, VolumeConnector(hypervisor.settings, volumes.session)
    spec.image_properties = {"hw_disk_bus": "scsi", "hw_cdrom_bus": "scsi"}
    with volumes.user() as demo:
        wants = [new_volume(demo, spec), new_volume(demo, spec)]
        for want in wants:
            want.volumes[0].bus, want.volumes[0].device = "scsi", None
        both = wants[0].model_copy(update={"volumes": [want.volumes[0] for want in wants]})
        first, second = connector.attach(both, quiet).volumes
        assert (first.device, second.device) == ("sdb", "sdc")
        spec.volumes = [first]
        guest.spawn()
        until(guest.booted)
        late = DiskOnGuest(instance_id=spec.instance_id, attempt=spec.attempt, volume=second)
        guest.driver.disks.plug(late, quiet)
        live = ElementTree.fromstring(domains.live_xml(spec.instance_id) or "")
        targets = [disk.find("target") for disk in live.findall("devices/disk")]
        assert {t.get("dev"): t.get("bus") for t in targets if t is not None} == {
            "vda": "scsi", "sdaa": "scsi", "sdb": "scsi", "sdc": "scsi"
        }  # fmt: skip
        assert [c.get("model") for c in live.findall("devices/controller[@type='scsi']")] == ["virtio-scsi"]
        guest.driver.disks.unplug(late, quiet)
        assert domains.has_disk(spec.instance_id, "sdb") and not domains.has_disk(spec.instance_id, "sdc")
        guest.driver.destroy(spec.instance_id)
        connector.detach(both, quiet)


def test_a_connection_that_does_not_hold_is_made_anew_from_the_records(guest: Built, disk: DiskOnGuest) -> None:
    """Mechanism: PowerSwitch.on_as, Definer.define_again. What the host kept of the volume leads nowhere any more."""
    guest.spawn()
    until(guest.booted)
    run(guest.steps.plug_disk, disk)
    held = {"instance_id": disk.instance_id, "attempt": disk.attempt}
    power, files = guest.driver.power, guest.driver.files
    power.off(PowerOff(**held, timeout_s=0), quiet)
    kept = files.volumes(disk.instance_id)["vdb"]
    assert disk.volume.export in kept
    files.keep_volumes(disk.instance_id, {"vdb": kept.replace(disk.volume.export, "elsewhere")})
    assert power.on_as(PowerOn(**held), quiet).lacking == "libvirt could not start it"
    spec = guest.spec.model_copy(update={"volumes": [disk.volume]})
    assert power.on_as(PowerOn(**held, spec=spec), quiet).lacking == ""
    assert has(guest) and files.volumes(disk.instance_id) == {"vdb": kept}


def test_a_guest_that_keeps_it_is_told_of_and_one_that_is_off_gives_it_back(
    guest: Built, disk: DiskOnGuest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A boot sector heeds no request to give a device back. Field scenario 17. A paused guest cannot, and is not asked:
    it would give the volume back when it goes on, whose detach has failed by then."""
    monkeypatch.setattr(guest.driver.disks, "detach_s", 2.0)
    guest.spawn()
    until(guest.booted)
    run(guest.steps.plug_disk, disk)
    held = {"instance_id": disk.instance_id, "attempt": disk.attempt}
    guest.driver.power.pause(Guarded(**held), quiet)
    with pytest.raises(ApplicationError, match="is paused and cannot release the device /dev/vdb"):
        run(guest.steps.unplug_disk, disk)
    guest.driver.power.unpause(Guarded(**held), quiet)
    with pytest.raises(ApplicationError, match="did not release the device /dev/vdb"):
        run(guest.steps.unplug_disk, disk)
    assert has(guest) and guest.driver.files.volumes(disk.instance_id)
    guest.driver.power.off(PowerOff(**held, timeout_s=0), quiet)
    for _ in range(2):
        run(guest.steps.unplug_disk, disk)
        assert not guest.driver.files.volumes(disk.instance_id)
    guest.driver.power.on(PowerOn(**held), quiet)
    assert not has(guest)


def test_a_host_that_lost_the_claim_leaves_the_guest_alone(guest: Built, disk: DiskOnGuest, cloud: Cloud) -> None:
    guest.spawn()
    cloud.unclaim(guest.spec.instance_id)
    with pytest.raises(ApplicationError):
        run(guest.steps.plug_disk, disk)
    assert not has(guest)


@pytest.fixture
def steps(volumes: Cloud, guest: Built, hypervisor: Hypervisor) -> Volume:
    connector = VolumeConnector(hypervisor.settings, volumes.session, volumes.control)
    return Volume(connector, VolumePlugger(connector, guest.driver.disks))


@pytest.fixture
def whole(volumes: Cloud, guest: Built) -> Iterator[VolumeOnGuest]:
    """A volume that is there, and is to be the server's."""
    with volumes.user() as demo:
        want = new_volume(demo, guest.spec)
        facts = want.model_dump(include={"instance_id", "attempt", "project_id"})
        yield VolumeOnGuest(**facts, volume=want.volumes[0])


def status(volumes: Cloud, want: VolumeOnGuest) -> str:
    with volumes.user() as demo:
        return str(demo.call("volume", "GET", f"/v3/volumes/{want.volume.volume_id}")["volume"]["status"])


def test_given_and_taken_in_one_step_and_once_more(
    guest: Built, whole: VolumeOnGuest, volumes: Cloud, steps: Volume
) -> None:
    guest.spawn()
    until(guest.booted)
    for _ in range(2):
        assert set(run(steps.give_volume, whole).parts) == {"attach", "plug"}
        assert has(guest) and status(volumes, whole) == "in-use"
    guest.driver.power.off(PowerOff(instance_id=whole.instance_id, attempt=whole.attempt, timeout_s=0), quiet)
    for _ in range(2):
        assert set(run(steps.take_volume, whole).parts) == {"unplug", "detach"}
        assert not guest.driver.files.volumes(whole.instance_id) and status(volumes, whole) == "available"


def test_a_claim_is_asked_for_once_more_when_the_guest_took_its_time(
    guest: Built, whole: VolumeOnGuest, volumes: Cloud, steps: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mechanism: CLAIM_S in VolumePlugger.take. By the second question a later attempt has the volume."""
    guest.spawn()
    guest.driver.power.off(PowerOff(instance_id=whole.instance_id, attempt=whole.attempt, timeout_s=0), quiet)
    asked, real = list[str](), volumes.control.attempt

    def counted(instance_id: str) -> int:
        asked.append(instance_id)
        return real(instance_id) + len(asked) - 1

    for patience, questions, left in ((60.0, 1, "available"), (0.0, 2, "in-use")):
        run(steps.give_volume, whole)
        asked.clear()
        with monkeypatch.context() as patch:
            patch.setattr(volumes.control, "attempt", counted)
            patch.setattr(hotplug, "CLAIM_S", patience)
            run(steps.take_volume, whole)
        assert (len(asked), status(volumes, whole)) == (questions, left)
    run(steps.take_volume, whole)


def test_a_guest_that_keeps_it_keeps_the_attachment_unless_that_is_undone(
    guest: Built, whole: VolumeOnGuest, volumes: Cloud, steps: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mechanism: VolumePlugger.take and take_back. The boot sector heeds no request to give a device back. What was
    undone stayed among what its guest is started with: no start of the host's own came through, and a late release had
    the dead disk put in again."""
    monkeypatch.setattr(guest.driver.disks, "detach_s", 0.2)
    guest.spawn()
    until(guest.booted)
    run(steps.give_volume, whole)
    with pytest.raises(ApplicationError, match="did not release the device /dev/vdb"):
        run(steps.take_volume, whole)
    assert has(guest) and status(volumes, whole) == "in-use"
    with pytest.raises(ApplicationError, match="did not release the device /dev/vdb"):
        run(steps.take_volume_back, whole)
    assert status(volumes, whole) == "available"
    assert has(guest) and not guest.driver.files.volumes(whole.instance_id)
    guest.driver.power.off(PowerOff(instance_id=whole.instance_id, attempt=whole.attempt, timeout_s=0), quiet)
    guest.driver.start(whole.instance_id)
    assert guest.driver.domains() == {whole.instance_id: RUNNING} and not has(guest)
    guest.driver.destroy(whole.instance_id)
    run(steps.take_volume_back, whole)


def test_no_other_takes_the_place_of_one_that_its_guest_kept(
    guest: Built, whole: VolumeOnGuest, volumes: Cloud, steps: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mechanism: `looks.has_this`. The record knows nothing of a disk that was undone, and gives its name to the next
    volume, which counted as given: the guest had the dead disk under that name."""
    monkeypatch.setattr(guest.driver.disks, "detach_s", 0.2)
    guest.spawn()
    until(guest.booted)
    run(steps.give_volume, whole)
    with pytest.raises(ApplicationError, match="did not release"):
        run(steps.take_volume_back, whole)
    with volumes.user() as demo:
        other = whole.model_copy(update={"volume": new_volume(demo, guest.spec).volumes[0]})
    with pytest.raises(ApplicationError, match="still has another disk as /dev/vdb"):
        run(steps.give_volume, other)
    with pytest.raises(ApplicationError, match="did not release"):
        run(steps.take_volume_back, other)
    assert status(volumes, other) == "available" and not guest.driver.files.volumes(whole.instance_id)
    guest.driver.power.off(PowerOff(instance_id=whole.instance_id, attempt=whole.attempt, timeout_s=0), quiet)
    guest.driver.start(whole.instance_id)
    run(steps.give_volume, other)
    assert has(guest) and status(volumes, other) == "in-use"
    guest.driver.destroy(whole.instance_id)
    run(steps.take_volume_back, other)


def test_a_claim_that_goes_while_the_volume_is_attached_takes_it_along(
    guest: Built, whole: VolumeOnGuest, volumes: Cloud, steps: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mechanism: Fence.unless_lost around VolumePlugger.give: the operation's own undo has been here already."""
    guest.spawn()
    real = steps._plugger._disks.plug

    def late(want: DiskOnGuest, heartbeat: Any) -> None:
        assert status(volumes, whole) == "in-use"
        volumes.unclaim(whole.instance_id)
        real(want, heartbeat)

    monkeypatch.setattr(steps._plugger._disks, "plug", late)
    with pytest.raises(ApplicationError, match="no longer holds the claim"):
        run(steps.give_volume, whole)
    assert not has(guest) and status(volumes, whole) == "available"


def test_a_running_guest_sees_that_its_volume_has_grown(
    guest: Built, disk: DiskOnGuest, volumes: Cloud, hypervisor: Hypervisor
) -> None:
    """The boot sector never reads the disk: QEMU has no other reason to connect to the export that was made anew."""
    guest.spawn()
    until(guest.booted)
    run(guest.steps.plug_disk, disk)
    volume_id = disk.volume.volume_id
    with volumes.user() as demo:
        grown = {"os-extend": {"new_size": 2}}
        demo.call("volume", "POST", f"/v3/volumes/{volume_id}/action", grown)
        until(lambda: demo.call("volume", "GET", f"/v3/volumes/{volume_id}")["volume"]["status"] == "in-use")
    connector = VolumeConnector(hypervisor.settings, volumes.session)
    assert size(guest) == 1 << 30 and connector.size(volume_id) == 2
    with pytest.raises(ApplicationError, match="could not be found"):
        connector.size(new_id())
    want = DiskSize(instance_id=disk.instance_id, attempt=disk.attempt, volume_id=volume_id, size_gb=2)
    for _ in range(2):
        run(guest.steps.grow_disk, want)
        assert size(guest) == 2 << 30
    assert guest.driver.power_state(disk.instance_id) == RUNNING


def test_a_running_guest_sees_a_volume_on_scsi_grow_after_a_swap_to_a_larger_one_too(
    guest: Built, volumes: Cloud, hypervisor: Hypervisor
) -> None:
    """QEMU has a disk on SCSI at another place than one on virtio: asked at that, it would never look at the export."""
    spec, connector = guest.spec, VolumeConnector(hypervisor.settings, volumes.session)
    spec.image_properties = {"hw_disk_bus": "scsi"}
    held = {"instance_id": spec.instance_id, "attempt": spec.attempt}
    with volumes.user() as demo:
        wants = [new_volume(demo, spec), new_volume(demo, spec, gib=3)]
        for want in wants:
            want.volumes[0].bus, want.volumes[0].device = "scsi", "sdb"
        old, new = (connector.attach(want, quiet).volumes[0] for want in wants)
        spec.volumes = [old]
        guest.spawn()
        until(guest.booted)
        demo.call("volume", "POST", f"/v3/volumes/{old.volume_id}/action", {"os-extend": {"new_size": 2}})
        until(lambda: demo.call("volume", "GET", f"/v3/volumes/{old.volume_id}")["volume"]["status"] == "in-use")
        steps = guest.steps
        for _ in range(2):
            run(steps.grow_disk, DiskSize(**held, volume_id=old.volume_id, size_gb=2, device="sdb"))
            assert size(guest, "sdb") == 2 << 30
        run(steps.swap_disk, DiskSwap(**held, old=old, new=new))
        for _ in range(2):
            run(steps.grow_disk, DiskSize(**held, volume_id=new.volume_id, size_gb=3, device="sdb"))
            assert size(guest, "sdb") == 3 << 30
        guest.driver.destroy(spec.instance_id)
        for want in wants:
            connector.detach(want, quiet)


@pytest.fixture
def other(volumes: Cloud, disk: DiskOnGuest, hypervisor: Hypervisor) -> Iterator[VolumeConnection]:
    """Another volume of the server's, larger, that is to take the first one's place."""
    with volumes.user() as demo:
        want = new_volume(demo, disk, gib=2)
        connector = VolumeConnector(hypervisor.settings, volumes.session)
        yield connector.attach(want, quiet).volumes[0]
        connector.detach(want, quiet)


def test_another_volume_takes_its_place_with_the_same_bytes(
    guest: Built, disk: DiskOnGuest, other: VolumeConnection, volumes: Cloud
) -> None:
    """QEMU copies from one export to the other while the guest runs, and writes to the new one only from then on. The
    guest sees the rest of a larger one when it is told, and could go back until then."""
    guest.spawn()
    until(guest.booted)
    run(guest.steps.plug_disk, disk)
    written(guest, "write -P 0x11 0 64k")
    held = {"instance_id": disk.instance_id, "attempt": disk.attempt}
    want, steps, beats = DiskSwap(**held, old=disk.volume, new=other), guest.steps, []
    for _ in range(2):
        guest.driver.swaps.swap(want, lambda *told: beats.append(told))
        assert source(guest) == other.export and size(guest) == 1 << 30
    run(steps.swap_disk_back, want)
    guest.driver.swaps._mirrors.begin(disk.instance_id, "vdb", volume_xml(other))
    run(steps.swap_disk_back, want)
    assert source(guest) == disk.volume.export, "a copy to elsewhere was given up"
    run(steps.swap_disk, want)
    grown = DiskSize(**held, volume_id=other.volume_id, size_gb=2, device="vdb")
    for _ in range(2):
        run(steps.grow_disk, grown)
        assert size(guest) == 2 << 30
    written(guest, "write -P 0x33 1500m 4k")
    assert first(volumes, other, 1500 << 20) == 0x33, "beyond what the old one had"
    written(guest, "write -P 0x22 0 4k")
    assert (first(volumes, disk.volume), first(volumes, other)) == (0x11, 0x22)
    assert first(volumes, other, 8192) == 0x11, "what was there before was copied"
    assert other.export in guest.driver.files.volumes(disk.instance_id)["vdb"]
    guest.driver.power.pause(Guarded(**held), quiet)
    with pytest.raises(libvirt.libvirtError):  # a smaller one is no way back from here
        guest.driver.swaps._mirrors.begin(disk.instance_id, "vdb", volume_xml(disk.volume))
    run(steps.swap_disk, want)
    assert source(guest) == other.export
    guest.driver.power.off(PowerOff(**held, timeout_s=0), quiet)
    run(steps.swap_disk, want)
    with pytest.raises(ApplicationError, match="The guest does not run"):
        run(steps.swap_disk_back, want)


def source(guest: Built) -> str:
    seen = guest.driver.swaps._mirrors.look(guest.spec.instance_id, "vdb")
    assert seen is not None and not seen.target
    return seen.source


def written(guest: Built, command: str) -> None:
    """What the guest's disk is given to do, as if by the guest, which is a boot sector."""

    def work(connection: Any) -> None:
        domain = connection.lookupByUUIDString(guest.spec.instance_id)
        disks = ElementTree.fromstring(domain.XMLDesc(0)).iterfind("./devices/disk")
        (alias,) = [disk.find("alias") for disk in disks if disk.find("target[@dev='vdb']") is not None]
        line = f'qemu-io -d /machine/peripheral/{alias.get("name")}/virtio-backend "{command}"'
        libvirt_qemu.qemuMonitorCommand(domain, line, libvirt_qemu.VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP)

    guest.driver._domains._libvirt.call(work)


def first(volumes: Cloud, volume: VolumeConnection, at: int = 0) -> int:
    """A byte of the volume's file."""
    root = volumes.settings.state_dir / "volumes"
    (file,) = [path for path in root.rglob(f"*{volume.volume_id}*") if path.is_file()]
    with file.open("rb") as stored:
        stored.seek(at)
        return stored.read(1)[0]


def size(guest: Built, device: str = "vdb") -> int:
    """Of the disk, as QEMU shows it to the guest."""
    id = guest.spec.instance_id
    return int(guest.driver._domains._libvirt.call(lambda c: c.lookupByUUIDString(id).blockInfo(device)[0]))
