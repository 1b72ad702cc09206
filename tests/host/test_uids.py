"""Each guest is a user of its own: what that user comes to, and how it is chosen, kept and found again."""

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import libvirt
import pytest
from temporalio.exceptions import ApplicationError

from infra.contracts.errors import HOST_CANNOT
from infra.contracts.image import ImageOnHost
from infra.contracts.power import PowerOff, PowerOn
from infra.contracts.snapshot import SnapshotOnHost
from infra.contracts.volume import DiskOnGuest
from infra.host.files.images import ImageStore
from infra.host.files.paths import HostPaths
from infra.host.libvirt.labels import label_in, labels_at
from infra.host.services.volumes import VolumeConnector
from infra.host.snapshots import Snapshots
from infra.settings import Settings
from tests.host.cloud import Cloud, new_id, until
from tests.host.hypervisor import Hypervisor
from tests.host.specs import spec
from tests.host.test_disks import first, new_volume, written
from tests.host.test_guest import RUNNING, SHUTDOWN, Built, driver, guest, hypervisor, quiet
from workers.layout import guest_uid, guest_uids

__all__ = ["driver", "guest", "hypervisor"]


@pytest.fixture
def other(cloud: Cloud, hypervisor: Hypervisor, guest: Built) -> Iterator[Built]:
    """A second server from the same image."""
    id = cloud.claim(new_id())
    store = ImageStore(hypervisor.settings, cloud.session)
    disk = store.fetch(ImageOnHost(instance_id=id, image_id=guest.spec.image_id, disk_gb=0), quiet)
    built = Built(spec(id, image_id=guest.spec.image_id, disk=disk), guest.driver, store)
    yield built
    guest.driver.destroy(id)
    store.remove(id)


def uid_of(hypervisor: Hypervisor, id: str) -> int:
    return Path(f"/proc/{hypervisor.qemu(id)}").stat().st_uid


TRY = """
import os, socket, stat, sys
for path in sys.argv[1:]:
    try:
        if stat.S_ISSOCK(os.stat(path).st_mode):
            with socket.socket(socket.AF_UNIX) as connection:
                connection.setblocking(False)
                connection.connect(path)
        else:
            os.close(os.open(path, os.O_RDONLY))
    except PermissionError:
        continue
    except (ConnectionRefusedError, BlockingIOError):
        pass
    print(path)
"""


def opened(hypervisor: Hypervisor, user: int, inside: int, *paths: str) -> set[str]:
    """Files that a QEMU of this user which was taken over opens, and sockets that it comes to, in its own mounts."""
    shed = [f"--reuid={user}", f"--regid={user}", f"--groups={hypervisor.settings.guest_uid}", "--no-new-privs"]
    argv = ["nsenter", "-t", str(inside), "-m", "--", "setpriv", *shed, "--bounding-set=-all", "--inh-caps=-all", "--"]
    done = subprocess.run([*argv, "/usr/bin/python3", "-ISc", TRY, *paths], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines())


def all_of(hypervisor: Hypervisor, id: str) -> set[str]:
    """All that a guest's QEMU has on its host, as QEMU sees it, and its memory."""
    view, home = hypervisor.settings.guest_view, hypervisor.settings.host_dir
    names = {f"instances/{id}/{name}" for name in ("disk", "config.iso", "console.log", "run/vnc", "run/serial")}
    assert all((home / name).exists() for name in names)
    own = (home / "libvirt" / "lib" / "qemu").glob(f"domain-*{id[:8]}*/*")
    found = {f"/var/lib/libvirt/qemu/{file.parent.name}/{file.name}" for file in own}
    assert any(name.endswith("master-key.aes") for name in found)
    pid = hypervisor.qemu(id)
    return {f"{view}/{name}" for name in names} | found | {f"/proc/{pid}/mem", f"/proc/{pid}/environ"}


def test_a_guests_user_opens_nothing_of_another_guest(guest: Built, other: Built, hypervisor: Hypervisor) -> None:
    ids = [guest.spec.instance_id, other.spec.instance_id]
    for built in (guest, other):
        built.spawn()
        until(built.booted)
    users = {uid_of(hypervisor, id) for id in ids}
    assert len(users) == 2 and users <= set(guest_uids(hypervisor.settings))
    for mine, theirs in (ids, ids[::-1]):
        user, pid = uid_of(hypervisor, mine), hypervisor.qemu(mine)
        own = all_of(hypervisor, mine)
        shut = own - opened(hypervisor, user, pid, *own)
        assert {what.rpartition("/")[2] for what in shut} <= {"serial", "monitor.sock"}, "these two are libvirtd's"
        assert opened(hypervisor, user, pid, *all_of(hypervisor, theirs)) == set()


@pytest.fixture
def plugged(volumes: Cloud, hypervisor: Hypervisor, guest: Built, other: Built) -> Iterator[list[DiskOnGuest]]:
    """Two guests that run, with a volume each."""
    connector, disks = VolumeConnector(hypervisor.settings, volumes.session), []
    with volumes.user() as demo:
        wanted = [new_volume(demo, built.spec) for built in (guest, other)]
        for built, want in zip((guest, other), wanted, strict=True):
            built.spawn()
            until(built.booted)
            (volume,) = connector.attach(want, quiet).volumes
            disks.append(DiskOnGuest(instance_id=want.instance_id, attempt=1, volume=volume))
            built.driver.disks.plug(disks[-1], quiet)
        yield disks
        for built, want in zip((guest, other), wanted, strict=True):
            built.driver.destroy(want.instance_id)
            connector.detach(want, quiet)


def test_a_guests_user_comes_to_its_own_volumes_only(
    plugged: list[DiskOnGuest], guest: Built, hypervisor: Hypervisor, volumes: Cloud
) -> None:
    """Mechanisms: GuestFiles.let_in, the directories of infra/volume_doors.py. Also behind a gate that was killed, and
    where what lies below /run was made anew with the machine."""

    def comes() -> list[list[bool]]:
        processes = [hypervisor.qemu(disk.instance_id) for disk in plugged]
        who = [(uid_of(hypervisor, disk.instance_id), pid) for disk, pid in zip(plugged, processes, strict=True)]
        doors = [disk.volume.socket for disk in plugged]
        return [[door in found for door in doors] for found in (opened(hypervisor, *each, *doors) for each in who)]

    assert comes() == [[True, False], [False, True]]
    written(guest, "write -P 0x11 0 64k")
    assert volumes.gate
    volumes.gate.kill()
    volumes.gate.wait(10)
    volumes.start_gate()
    until(lambda: comes() == [[True, False], [False, True]])

    def writes() -> bool:  # the first request may still fail: QEMU connects anew with the next one
        written(guest, "write -P 0x22 0 64k")
        return first(volumes, plugged[0].volume) == 0x22

    until(writes)
    held = {"instance_id": plugged[0].instance_id, "attempt": 1}
    guest.driver.power.off(PowerOff(**held, timeout_s=0), quiet)
    door = Path(plugged[0].volume.socket).parent
    os.chown(door, -1, door.stat().st_uid)
    guest.driver.power.on(PowerOn(**held), quiet)
    assert comes() == [[True, False], [False, True]]
    written(guest, "write -P 0x33 0 64k")
    assert first(volumes, plugged[0].volume) == 0x33


def test_it_lasts(guest: Built, other: Built, hypervisor: Hypervisor, cloud: Cloud) -> None:
    """Off and on, memory written and read again, a copy of the disk, an agent and a libvirtd that begin anew."""
    id, cycle = guest.spec.instance_id, guest.driver.power
    other.spawn()
    guest.spawn()
    until(guest.booted)
    user, want = uid_of(hypervisor, id), PowerOn(instance_id=id, attempt=1)
    assert label_in(guest.driver.definitions.read(id) or "") == user
    cycle.suspend(want, quiet)
    assert guest.driver.domains()[id] == SHUTDOWN and not hypervisor.qemu(id)
    assert cycle.resume(want, quiet).power_state == RUNNING and uid_of(hypervisor, id) == user
    copies = Snapshots(hypervisor.settings, cloud.session, guest.driver)
    running = SnapshotOnHost(instance_id=id, attempt=1, image_id=new_id())
    copies.take(running, quiet)
    cycle.off(PowerOff(instance_id=id, attempt=1, timeout_s=0), quiet)
    copies.take(off := running.model_copy(update={"image_id": new_id()}), quiet)
    for each in (running, off):
        copy = copies._file(each).stat()
        assert (copy.st_uid, copy.st_mode & 0o777) == (user, 0o600)
    hypervisor.kill()
    hypervisor.start()
    anew = type(guest.driver)(hypervisor.settings, cloud.control)
    anew.power.on_as(PowerOn(instance_id=id, attempt=1, spec=guest.spec), quiet)
    assert uid_of(hypervisor, id) == user and uid_of(hypervisor, other.spec.instance_id) != user


def test_a_guest_of_before_stays_who_it_is(guest: Built, other: Built, hypervisor: Hypervisor) -> None:
    """Its files, and the user of its QEMU, whatever is asked of it."""
    id, shared = guest.spec.instance_id, hypervisor.settings.guest_uid
    files = hypervisor.settings.host_dir / "instances" / id
    for path in (files, *files.iterdir()):
        os.chown(path, shared if path.name == "disk" else 0, shared)
    guest.spawn()
    assert uid_of(hypervisor, id) == shared and label_in(guest.driver.definitions.read(id) or "") is None
    cycle = guest.driver.power
    cycle.off(PowerOff(instance_id=id, attempt=1, timeout_s=0), quiet)
    cycle.on_as(PowerOn(instance_id=id, attempt=1, spec=guest.spec), quiet)
    assert uid_of(hypervisor, id) == shared == (files / "console.log").stat().st_uid


def settings_with(hypervisor: Hypervisor, **changes: Any) -> Settings:
    return hypervisor.settings.model_copy(update=changes)


def define(hypervisor: Hypervisor, id: str, uid: int) -> libvirt.virDomain:
    """A domain of somebody's on this libvirtd, without a file here."""
    label = f"<seclabel type='static' model='dac' relabel='no'><label>+{uid}:+{uid}</label></seclabel>"
    os_type = "<os><type arch='x86_64'>hvm</type></os>"
    xml = f"<domain type='qemu'><name>{id}</name><uuid>{id}</uuid><memory>1</memory>{os_type}{label}</domain>"
    return libvirt.open(hypervisor.settings.libvirt_uri).defineXML(xml)


def test_no_user_is_given_twice(hypervisor: Hypervisor, tmp_path: Path) -> None:
    first = guest_uids(hypervisor.settings).start
    with subprocess.Popen(["setpriv", f"--reuid={first + 2}", "sleep", "60"]) as somebody:
        until(lambda: Path(f"/proc/{somebody.pid}").stat().st_uid == first + 2)
        paths = HostPaths(settings_with(hypervisor, state_dir=tmp_path, guest_uid_first=first, guest_uid_count=5))
        paths.root.mkdir(parents=True)
        elsewhere = [define(hypervisor, new_id(), first + number) for number in (0, 4)]
        try:
            ids = [new_id() for _ in range(3)]
            for id in ids[:2]:
                paths.make_instance(id)
            assert {paths.owner_of(id).uid for id in ids[:2]} == {first + 1, first + 3}
            with pytest.raises(ApplicationError, match="taken") as full:
                paths.make_instance(ids[2])
            assert full.value.type == HOST_CANNOT and paths.known_instances() == set(ids[:2])
            shutil.rmtree(paths.instance(ids[0]))
            elsewhere.append(define(hypervisor, ids[2], first + 6))  # its directory is lost: the domain says who it is
            for id in (ids[2], ids[0]):
                paths.make_instance(id)
            assert paths.owner_of(ids[2]).uid == first + 6
            assert {paths.owner_of(id).uid for id in ids[:2]} == {first + 1, first + 3}, "one was given back"
        finally:
            somebody.kill()
            for domain in elsewhere:
                domain.undefine()


def test_accounts_of_the_machine(hypervisor: Hypervisor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody's is no guest's; where libvirtd is the machine's own, a guest's user must have an account of its own."""
    somebody, first = pwd.getpwnam("nobody"), guest_uids(hypervisor.settings).start
    known = {somebody.pw_uid: somebody}
    monkeypatch.setattr(pwd, "getpwuid", lambda uid: known[uid])
    for uid, view in ((somebody.pw_uid, hypervisor.settings.guest_view), (first, "")):
        own = {"state_dir": tmp_path / f"u{uid}", "guest_uid_first": uid, "guest_uid_count": 1, "guest_view": view}
        paths = HostPaths(settings_with(hypervisor, **own))
        paths.root.mkdir(parents=True)
        with pytest.raises(ApplicationError, match="account"):
            paths.make_instance(id := new_id())
    known[first] = pwd.struct_passwd((f"kilonova-guest-{first}", "x", first, first, "", "/nonexistent", ""))
    paths.make_instance(id)
    assert paths.owner_of(id).uid == first


def test_without_the_driver_all_guests_share_one(hypervisor: Hypervisor, tmp_path: Path) -> None:
    """libvirt's own test driver knows no users."""
    uri = "test:///default"
    assert labels_at(hypervisor.settings.libvirt_uri).obeyed() and not labels_at(uri).obeyed()
    paths = HostPaths(settings_with(hypervisor, state_dir=tmp_path, libvirt_uri=uri))
    paths.root.mkdir(parents=True)
    directory = paths.make_instance(id := new_id())
    assert paths.owner_of(id) == paths.all_guests and directory.stat().st_gid == hypervisor.settings.guest_uid


def test_sockets_below_run_are_in_a_place_of_each_guest(hypervisor: Hypervisor, tmp_path: Path) -> None:
    """Where the state directory's path is too long for a socket."""
    paths = HostPaths(settings_with(hypervisor, state_dir=tmp_path / ("x" * 60)))
    paths.root.mkdir(parents=True)
    paths.make_instance(id := new_id())
    try:
        place = paths.make_socket_place(id).parent
        assert str(place).startswith("/run/kilonova/") and place.name == id
        assert (place.stat().st_uid, place.stat().st_mode & 0o777) == (paths.owner_of(id).uid, 0o700)
        assert (place.parent.stat().st_uid, place.parent.stat().st_mode & 0o777) == (0, 0o710)
        shutil.rmtree(paths.instance(id))
        assert paths.known_instances() == {id}
        paths.forget_sockets(id)
        assert paths.known_instances() == set()
    finally:
        paths.forget_sockets()


def test_ranges_of_hosts_and_clouds(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path)
    ranges = [guest_uids(settings, number) for number in range(4)]
    assert len({uid for each in ranges for uid in (each.start, each[-1])}) == 8
    assert guest_uid(settings) not in {uid for each in ranges for uid in each}
    own = settings.model_copy(update={"guest_uid_first": 700_000, "guest_uid_count": 10})
    assert [guest_uids(own, number) for number in (0, 1)] == [range(700_000, 700_010), range(700_010, 700_020)]


@pytest.mark.parametrize(
    "wrong", [(700_000, 0, 5), (0, 5, 5), (700_000, 5, 0), (700_000, 5, 700_004), (2**31 - 1, 2, 5)]
)
def test_a_range_that_cannot_be_is_refused(wrong: tuple[int, int, int]) -> None:
    first, count, shared = wrong
    with pytest.raises(ValueError, match="guest_uid"):
        Settings(guest_uid_first=first, guest_uid_count=count, guest_uid=shared)
