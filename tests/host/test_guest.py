"""Real guests under QEMU's emulation: boot, console, screen, config drive, volumes, and what happens to them."""

import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import libvirt
import pycdlib
import pytest
from temporalio.exceptions import ApplicationError

from activities.hypervisor import Hypervisor as Steps
from infra.contracts.errors import HOST_CANNOT
from infra.contracts.hypervisor import DomainSpec, GuestConfig
from infra.contracts.image import ImageOnHost
from infra.contracts.volume import VolumeConnection, VolumeRequest, VolumesOnHost
from infra.host.driver import Driver
from infra.host.files.images import ImageStore
from infra.host.libvirt.faults import LibvirtDown
from infra.host.libvirt.virt_type import QEMU, boot_sector, detect, why_not_kvm
from infra.host.services.volumes import VolumeConnector
from tests.host.cloud import Cloud, new_id, until
from tests.host.glance import Glance, StoredImage
from tests.host.hypervisor import Hypervisor
from tests.host.specs import spec
from workers.layout import guest_uid, guest_uids

SIGN = "the guest runs"
RUNNING, PAUSED, SHUTDOWN = 1, 3, 4
MIB = 1 << 20


def quiet(*_: Any) -> None:
    pass


@pytest.fixture(scope="module")
def hypervisor(cloud: Cloud) -> Iterator[Hypervisor]:
    with tempfile.TemporaryDirectory(prefix="kq-") as state:
        own = {"state_dir": Path(state), "host_networking": "none", "guest_uid": guest_uid(cloud.settings)}
        own["shutdown_timeout_s"] = 2  # the boot sector that runs as a guest never shuts itself down
        settings = cloud.settings.model_copy(update=own)
        settings.host_dir.mkdir(parents=True)
        running = Hypervisor(settings)
        try:
            yield running
        finally:
            running.close()


@pytest.fixture(scope="module")
def driver(cloud: Cloud, hypervisor: Hypervisor) -> Driver:
    return Driver(hypervisor.settings, cloud.control)


@dataclass
class Built:
    spec: DomainSpec
    driver: Driver
    store: ImageStore

    @property
    def steps(self) -> Steps:
        return Steps(self.driver, self.store)

    def spawn(self) -> Any:
        return self.driver.spawn(self.spec, quiet)

    @property
    def log(self) -> str:
        return self.driver.console_output(self.spec.instance_id, None)

    def booted(self) -> bool:
        return SIGN in self.log


@pytest.fixture
def guest(cloud: Cloud, hypervisor: Hypervisor, driver: Driver, glance: Glance) -> Iterator[Built]:
    """A server with its disk on the host and its claim, not spawned yet."""
    image_id = new_id()
    glance.images[image_id] = StoredImage(boot_sector(SIGN.encode() + b"\r\n").ljust(MIB, b"\0"), "raw")
    instance_id = cloud.claim(new_id())
    store = ImageStore(hypervisor.settings, cloud.session)
    disk = store.fetch(ImageOnHost(instance_id=instance_id, image_id=image_id, disk_gb=0), quiet)
    config = GuestConfig(hostname="web-1", admin_pass="s3cret", user_data="IyEvYmluL3NoCg==", metadata={"a": "b"})
    built = Built(spec(instance_id, image_id=image_id, disk=disk, guest=config), driver, store)
    yield built
    driver.destroy(instance_id)
    store.remove(instance_id)
    assert driver.facts().instance_dirs == [] and driver.domains() == {}
    assert not hypervisor.qemu(instance_id)


def test_boot(guest: Built, hypervisor: Hypervisor) -> None:
    done = guest.spawn()
    assert (done.power_state, done.virt_type) == (RUNNING, "qemu")
    assert set(done.parts) == {"config_drive", "define", "start", "run"}
    until(guest.booted)
    pid = hypervisor.qemu(guest.spec.instance_id)
    assert guest.spawn().power_state == RUNNING and hypervisor.qemu(guest.spec.instance_id) == pid
    assert guest.driver.domains() == {guest.spec.instance_id: RUNNING}
    kind, _, path = guest.driver.console_target(guest.spec.instance_id).partition(":")
    assert kind == "unix_socket" and len(path) <= 107
    with socket.socket(socket.AF_UNIX) as screen:
        screen.connect(path)
        assert screen.recv(4) == b"RFB "
    drive = hypervisor.settings.host_dir / "instances" / guest.spec.instance_id / "config.iso"
    assert drive.stat().st_mode & 0o077 == 0
    assert b"config.iso" in Path(f"/proc/{pid}/cmdline").read_bytes()
    inventory = guest.driver.inventory()
    assert inventory["vcpus"] == os.cpu_count() and inventory["disk_gb"] > 0
    assert inventory["hypervisor_type"] == "QEMU"


def test_a_guest_is_nobody_and_sees_its_own_files_only(guest: Built, hypervisor: Hypervisor) -> None:
    """Mechanisms: qemu.conf's user and seccomp_sandbox; modes and owners of infra/host/files/owner.py; the mounts of
    workers/libvirtd.py. What a QEMU that was taken over could do is tried in its place: as its user, in its mounts."""
    guest.spawn()
    until(guest.booted)
    settings, id = hypervisor.settings, guest.spec.instance_id
    pid, all_guests = hypervisor.qemu(id), hypervisor.settings.guest_uid
    uid = int(Path(f"/proc/{pid}").stat().st_uid)
    assert uid in guest_uids(hypervisor.settings)
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    assert uid > 0 and status["Uid"].split() == status["Gid"].split() == [str(uid)] * 4
    assert set(status["Groups"].split()) == {str(uid), str(all_guests)}
    assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 0 and status["Seccomp"].strip() == "2"
    assert b"spawn=deny" in Path(f"/proc/{pid}/cmdline").read_bytes()
    groups = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    assert len([line for line in groups if line.endswith(f"/{id}")]) in (1, 2), "both hierarchies of v1, or that of v2"
    mounts = {Path(f"/proc/{each}/ns/mnt").readlink() for each in (pid, hypervisor.process.pid, os.getpid())}
    assert len(mounts) == 3, "namespaces of qemu.conf"
    within_dev = subprocess.run(["nsenter", "-t", str(pid), "-m", "ls", "/dev"], capture_output=True, text=True).stdout
    assert "urandom" in within_dev and not {"vda", "sda", "mem", "loop-control"} & set(within_dev.split())
    files = settings.host_dir / "instances" / id
    mine = {name: (files / name).stat() for name in ("disk", "config.iso", "console.log")}
    assert {name: (stat.st_uid, stat.st_mode & 0o777) for name, stat in mine.items()} == dict.fromkeys(
        mine, (uid, 0o600)
    )
    image = settings.host_dir / "images" / guest.spec.image_id
    assert (image.stat().st_uid, image.stat().st_gid, image.stat().st_mode & 0o777) == (0, all_guests, 0o440)
    for place, group in ((image.parent, all_guests), (files.parent, all_guests), (files, uid)):
        assert (place.stat().st_uid, place.stat().st_gid, place.stat().st_mode & 0o777) == (0, group, 0o710)
    assert settings.host_dir.stat().st_mode & 0o777 == 0o700
    user = ["setpriv", f"--reuid={uid}", f"--regid={uid}", f"--groups={all_guests}", "--no-new-privs", "--"]
    within = ["nsenter", "-t", str(pid), "-m", "--", *user, "sh", "-c"]
    view = settings.guest_view
    tries = {
        f"cat {view}/instances/{id}/disk {view}/images/{guest.spec.image_id} >/dev/null": True,
        f"ls {view}/instances": False,
        f"ls {view}/images": False,
        f"echo x >{view}/instances/{id}/other": False,
        f"rm -f {view}/instances/{id}/console.log": False,
        f"echo x >>{view}/images/{guest.spec.image_id}": False,
        f"chmod 600 {view}/images/{guest.spec.image_id}": False,
        f"cat {settings.state_dir}/credentials.json": False,
        f"ls {settings.host_dir}": False,
        "cat /etc/shadow": False,
    }
    for what, allowed in tries.items():
        assert (subprocess.run([*within, what], capture_output=True).returncode == 0) is allowed, what


def test_no_instruction_without_the_claim(cloud: Cloud, guest: Built, hypervisor: Hypervisor) -> None:
    cloud.claim(guest.spec.instance_id, attempt=2, host="other")
    with pytest.raises(ApplicationError) as failure:
        guest.spawn()
    assert failure.value.type == HOST_CANNOT
    assert guest.log == "" and guest.driver.domains() == {} and not hypervisor.qemu(guest.spec.instance_id)


def test_a_start_that_died_before_the_claim_check_goes_on(
    guest: Built, hypervisor: Hypervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unanswered(*_: Any) -> bool:
        raise ConnectionError("the control plane is away")

    monkeypatch.setattr(guest.driver._fence, "holds", unanswered)
    with pytest.raises(ConnectionError):
        guest.spawn()
    assert guest.driver.domains() == {guest.spec.instance_id: PAUSED}
    time.sleep(1)
    assert guest.log == "", "the guest ran without the claim"
    monkeypatch.undo()
    pid = hypervisor.qemu(guest.spec.instance_id)
    assert guest.spawn().power_state == RUNNING and hypervisor.qemu(guest.spec.instance_id) == pid
    until(guest.booted)


def test_death_of_qemu_is_reported(guest: Built, hypervisor: Hypervisor) -> None:
    reported: list[Any] = []

    def mine() -> list[Any]:  # an earlier test's guest may be told of as well
        return [event for event in reported if event.instance_id == guest.spec.instance_id]

    control = guest.driver.events._control
    guest.driver.events._control = type("C", (), {"report_events": lambda _, events: reported.extend(events)})()
    guest.driver.events.start()
    try:
        guest.spawn()
        os.kill(hypervisor.qemu(guest.spec.instance_id), signal.SIGKILL)
        until(mine)
    finally:
        guest.driver.events._control = control
    assert [event.power_state for event in mine()] == [SHUTDOWN]
    assert guest.driver.domains() == {guest.spec.instance_id: SHUTDOWN}
    guest.driver.start(guest.spec.instance_id)
    assert guest.driver.domains() == {guest.spec.instance_id: RUNNING}


def test_guest_outlives_libvirtd(guest: Built, hypervisor: Hypervisor) -> None:
    guest.spawn()
    pid = hypervisor.qemu(guest.spec.instance_id)
    hypervisor.kill()
    with pytest.raises(Exception, match=r"(?i)libvirt"):
        guest.driver.domains()
    hypervisor.start()
    assert guest.driver.domains() == {guest.spec.instance_id: RUNNING}
    assert hypervisor.qemu(guest.spec.instance_id) == pid


def test_libvirt_looks_at_qemu_once(guest: Built, hypervisor: Hypervisor) -> None:
    """Mechanism: workers.libvirtd. It knows one emulator, and on a later start what that can do: with a KVM that no
    guest runs under it looked again for seconds, each time it began on another processor."""
    guest.spawn()
    cache = hypervisor.settings.host_dir / "libvirt" / "cache" / "qemu" / "capabilities"
    (known,) = cache.glob("*.xml")
    assert (
        f"<emulator>/usr/bin/{QEMU}</emulator>" in known.read_text() and "<flag name='kvm'/>" not in known.read_text()
    )
    before = known.stat().st_mtime_ns
    processors = os.sched_getaffinity(0)
    for some in (*({each} for each in processors), processors):
        hypervisor.kill()
        os.sched_setaffinity(0, some)  # this thread's, which libvirtd inherits
        try:
            hypervisor.start()
        finally:
            os.sched_setaffinity(0, processors)
        libvirt.open(hypervisor.settings.libvirt_uri).getVersion()
    assert [file.stat().st_mtime_ns for file in cache.glob("*.xml")] == [before]


def test_a_libvirtd_that_hangs_holds_nobody_up(guest: Built, hypervisor: Hypervisor) -> None:
    guest.spawn()
    hypervisor.process.send_signal(signal.SIGSTOP)
    try:
        for _ in range(20):  # more than the driver has threads
            with pytest.raises(LibvirtDown):
                guest.driver._domains._libvirt.call(lambda c: c.getLibVersion(), timeout=0.1)
    finally:
        hypervisor.process.send_signal(signal.SIGCONT)
    assert guest.driver.domains() == {guest.spec.instance_id: RUNNING}


def test_volumes(volumes: Cloud, guest: Built, hypervisor: Hypervisor) -> None:
    with volumes.user() as demo:
        made = demo.call("volume", "POST", "/v3/volumes", {"volume": {"size": 1}})["volume"]["id"]
        until(lambda: demo.call("volume", "GET", f"/v3/volumes/{made}")["volume"]["status"] == "available")
        want = VolumesOnHost(
            instance_id=guest.spec.instance_id,
            project_id=demo.project_id,
            volumes=[VolumeRequest(volume_id=made, attachment_id=new_id())],
        )
        connector = VolumeConnector(hypervisor.settings, volumes.session)
        connected = connector.attach(want, quiet).volumes
        guest.spec.volumes = connected
        done = guest.spawn()
        assert done.power_state == RUNNING
        until(guest.booted)
        export = connected[0].export
        xml = guest.driver._domains.live_xml(guest.spec.instance_id)
        disk = ElementTree.fromstring(xml).find("./devices/disk[@type='network']")
        assert disk.find("source").get("name") == export and disk.find("target").get("dev") == "vdb"
        assert disk.findtext("serial") == made
        pid = hypervisor.qemu(guest.spec.instance_id)
        assert export.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()
        assert guest.spawn().power_state == RUNNING, "a repeat attaches nothing twice"
        os.kill(pid, signal.SIGKILL)
        until(lambda: guest.driver.domains() == {guest.spec.instance_id: SHUTDOWN})
        guest.driver.start(guest.spec.instance_id)
        assert export in guest.driver._domains.live_xml(guest.spec.instance_id)
        guest.driver.destroy(guest.spec.instance_id)
        connector.detach(want, quiet)
        assert demo.call("volume", "GET", f"/v3/volumes/{made}")["volume"]["status"] == "available"


READER = (
    bytes.fromhex(
        "31c0 8ed8 8ec0 8ed0 bc007c fb"  # segments and stack
        "b80102 b90100 ba8000 bb007e cd13"  # int 13h: read the first sector of the disk
        "b052 7302 b045 baf803 ee"  # R, or E after an error, to the serial port
        "b486 b90100 ba0000 cd15 ebdc"  # wait 65 ms, again
    ).ljust(510, b"\0")
    + b"\x55\xaa"
)


def test_boot_from_a_volume_that_goes_away_and_comes_back(
    volumes: Cloud, guest: Built, hypervisor: Hypervisor, glance: Glance
) -> None:
    glance.images[reader := new_id()] = StoredImage(READER.ljust(MIB, b"\0"), "raw")
    with volumes.user() as demo:
        disk = VolumeRequest(
            volume_id=new_id(), attachment_id=new_id(), create=True, size_gb=1, image_id=reader, boot_index=0
        )
        want = VolumesOnHost(instance_id=guest.spec.instance_id, project_id=demo.project_id, volumes=[disk])
        connector = VolumeConnector(hypervisor.settings, volumes.session)
        guest.spec.disk, guest.spec.volumes = None, connector.attach(want, quiet).volumes
        assert guest.spec.volumes[0].device == "vda"
        guest.spawn()
        until(lambda: "RRR" in guest.log)
        volumes.stop_nbd()
        until(lambda: guest.driver.domains() == {guest.spec.instance_id: PAUSED})
        guest.driver.resume_waiting()
        assert guest.driver.domains() == {guest.spec.instance_id: PAUSED}, "the server is not back"
        volumes.start_nbd()
        before = len(guest.log)

        def goes_on() -> bool:
            guest.driver.resume_waiting()
            return len(guest.log) > before + 3

        until(goes_on)
        assert "E" not in guest.log, "the guest saw an I/O error"
        guest.driver.destroy(guest.spec.instance_id)
        connector.detach(want, quiet)
        until(lambda: demo.call("volume", "GET", f"/v3/volumes/{disk.volume_id}") is None)


def test_unreachable_volume_server_is_transient(guest: Built) -> None:
    lost = VolumeConnection(
        volume_id=new_id(), attachment_id=new_id(), host="127.0.0.1", port=9, export="sesame-open", device="vdb"
    )
    guest.spec.volumes = [lost]
    with pytest.raises(Exception) as failure:
        guest.spawn()
    assert not isinstance(failure.value, ApplicationError) and "sesame" not in str(failure.value)
    assert guest.log == "", "the guest ran without its volume"


def test_missing_disk_is_this_hosts_failure(guest: Built, hypervisor: Hypervisor) -> None:
    (hypervisor.settings.host_dir / "instances" / guest.spec.instance_id / "disk").unlink()
    with pytest.raises(ApplicationError) as failure:
        guest.spawn()
    assert failure.value.type == HOST_CANNOT


def test_config_drive_is_what_guests_expect(guest: Built, hypervisor: Hypervisor) -> None:
    guest.spawn()
    iso = pycdlib.PyCdlib()
    iso.open(str(hypervisor.settings.host_dir / "instances" / guest.spec.instance_id / "config.iso"))
    assert iso.pvd.volume_identifier.strip() == b"config-2"
    assert {child.file_identifier() for child in iso.list_children(rr_path="/openstack")} > {b".", b".."}
    iso.close()


def test_virt_type_is_found_once_a_boot(hypervisor: Hypervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    auto = hypervisor.settings.model_copy(update={"virt_type": "auto"})
    begun = time.monotonic()
    first = detect(auto)
    assert time.monotonic() - begun < 10 and first.virt_type in ("kvm", "qemu") and first.reason
    monkeypatch.setattr("infra.host.libvirt.virt_type.why_not_kvm", lambda: pytest.fail("asked again"))
    assert detect(auto) == first
    assert "does not exist" in why_not_kvm(Path("/dev/no-such-kvm"))
