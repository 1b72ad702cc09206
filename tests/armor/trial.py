"""What runs as root within the machine that has AppArmor: guests of ours under it, and what they come to from within.

Every line that it prints is something that was seen; a line that begins with FAILED makes the trial fail."""

import contextlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import libvirt
import libvirt_qemu

from infra import apparmor
from infra.contracts.hypervisor import DomainSpec
from infra.contracts.power import PowerOff, PowerOn
from infra.contracts.snapshot import SnapshotOnHost
from infra.contracts.volume import DiskOnGuest
from infra.host.libvirt.faults import PASSING, LibvirtDown
from infra.host.snapshots import Snapshots
from infra.nbd import volumes_dir, volumes_view
from infra.settings import Settings
from tests.armor.host import SIGN, Host, quiet
from tests.host.waiting import until
from workers import confinement

STATE = Path("/var/lib/kilonova-trial")
VIEW = Path("/var/lib/libvirt/kilonova")
PATIENCE_S = 300
TRY = """
import os, sys
profile, flags, path, user = sys.argv[1:]
os.setresuid(int(user), int(user), int(user))
if profile:
    with open("/proc/thread-self/attr/current", "w") as current:
        current.write("changeprofile " + profile)
try:
    os.open(path, int(flags))
except PermissionError:
    sys.exit(13)
"""
"""Root in a QEMU's mounts, so that no file's mode refuses anything, and then under its profile, as if it were QEMU."""


class Trial:
    def __init__(self, host: Host) -> None:
        self.host, self.failed, self._begun = host, 0, time.monotonic()

    def say(self, what: str, seen: bool = True) -> None:
        self.failed += not seen
        print(f"{'seen' if seen else 'FAILED'} {time.monotonic() - self._begun:4.0f} s  {what}", flush=True)

    @contextlib.contextmanager
    def shown(self, what: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self.say(f"{what}: {type(error).__name__}: {str(error)[:300]}", seen=False)
        else:
            self.say(what)

    def log(self, spec: DomainSpec) -> str:
        return self.host.driver.console_output(spec.instance_id, None)

    def opens(self, pid: int, profile: str, path: Path, flags: int, user: int = 0) -> bool:
        argv = [
            "nsenter",
            "-t",
            str(pid),
            "-m",
            "/usr/bin/python3",
            "-c",
            TRY,
            profile,
            str(flags),
            str(path),
            str(user),
        ]
        done = subprocess.run(argv, capture_output=True, text=True)
        if done.returncode not in (0, 13):
            raise RuntimeError(done.stderr.strip()[-300:])
        return done.returncode == 0

    def written(self, spec: DomainSpec) -> None:
        """64 KiB to the guest's volume, by its QEMU, as if by the guest, which is a boot sector."""

        def work(connection: Any) -> None:
            domain = connection.lookupByUUIDString(spec.instance_id)
            disks = ElementTree.fromstring(domain.XMLDesc(0)).iterfind("./devices/disk")
            (alias,) = [disk.find("alias") for disk in disks if disk.find("target[@dev='vdb']") is not None]
            assert alias is not None
            line = f'qemu-io -d /machine/peripheral/{alias.get("name")}/virtio-backend "write -P 0x11 0 64k"'
            libvirt_qemu.qemuMonitorCommand(domain, line, libvirt_qemu.VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP)

        self.host.driver._domains._libvirt.call(work)
        file = volumes_dir(self.host.settings) / f"{spec.volumes[0].volume_id}.raw"
        until(lambda: file.read_bytes()[:2] == b"\x11\x11", PATIENCE_S)


def again(step: Callable[[], object]) -> None:
    """A step, as its workflow repeats it: an emulated machine can be slower than libvirt is given."""
    for _ in range(5):
        try:
            step()
            return
        except LibvirtDown:
            pass
        except libvirt.libvirtError as error:
            if error.get_error_code() not in PASSING:
                raise
    step()


def runs_under(trial: Trial, spec: DomainSpec, what: str) -> None:
    """The guest has a QEMU, whose profile is the guest's own."""
    pid = trial.host.hypervisor.qemu(spec.instance_id)
    label = current(pid) if pid else "no QEMU"
    trial.say(f"{what}: {label}", label == f"libvirt-{spec.instance_id} (enforce)")


def current(pid: int) -> str:
    return Path(f"/proc/{pid}/attr/current").read_text().strip()


def loads(instance_id: str) -> int:
    """How often the kernel was given the guest's profile."""
    return len(re.findall(rf'operation="profile_\w+" [^\n]*name="libvirt-{instance_id}"', kernel_log()))


def kernel_log() -> str:
    return subprocess.run(["dmesg"], capture_output=True, text=True).stdout


def refusals() -> set[str]:
    """What the kernel refused so far, as `profile operation name`."""
    found = re.findall(r'apparmor="DENIED" operation="(\S+)" .*?profile="(\S+)" (?:name="(\S+)")?', kernel_log())
    return {f"{profile} {operation} {name}" for operation, profile, name in found}


def both(trial: Trial) -> tuple[DomainSpec, DomainSpec]:
    """Two guests that run: one with a volume, one with UEFI."""
    host = trial.host
    first, second = host.guest(1), host.guest(2, hw_firmware_type="uefi", hw_machine_type="q35")
    first.volumes.append(host.volume("vdb"))
    for spec in (first, second):
        with trial.shown(f"{spec.name} starts ({spec.image_properties})"):
            again(lambda spec=spec: host.driver.spawn(spec, quiet))  # type: ignore[misc]
        runs_under(trial, spec, "/proc/PID/attr/current")
        trial.say(f"its profile was loaded {loads(spec.instance_id)} times")
    with trial.shown("the first guest wrote to its console"):
        until(lambda: SIGN in trial.log(first), PATIENCE_S)
    with trial.shown("its QEMU wrote to its volume, through the door"):
        trial.written(first)
    return first, second


def tried(trial: Trial, pid: int, profile: str, tries: list[tuple[Path, int, bool]]) -> None:
    """Each path without the profile, which shows that it is there, and with it."""
    for path, flags, allowed in tries:
        there, inside = trial.opens(pid, "", path, flags), trial.opens(pid, profile, path, flags)
        how = {os.O_RDONLY: "reads", os.O_WRONLY: "writes", os.O_RDWR: "reads and writes"}[flags]
        trial.say(f"root {how} {path}: {there}, under {profile}: {inside}", there and inside is allowed)


def from_within(trial: Trial, mine: DomainSpec, theirs: DomainSpec) -> None:
    pid, own = trial.host.hypervisor.qemu(mine.instance_id), VIEW / "instances" / mine.instance_id
    other, write = VIEW / "instances" / theirs.instance_id, os.O_WRONLY
    tries: list[tuple[Path, int, bool]] = [
        (own / "disk", os.O_RDWR, True),
        (own / "config.iso", os.O_RDONLY, True),
        (VIEW / "images" / mine.image_id, os.O_RDONLY, True),
        (own / "config.iso", write, False),
        (other / "disk", os.O_RDONLY, False),
        (other / "config.iso", os.O_RDONLY, False),
        (other / "console.log", write, False),
        (Path("/etc/shadow"), os.O_RDONLY, False),
        (Path("/usr/bin/qemu-img"), write, False),
        (trial.host.settings.host_dir / "instances" / theirs.instance_id / "disk", os.O_RDONLY, False),
        (Path("/proc/1/environ"), os.O_RDONLY, False),
    ]
    tried(trial, pid, f"libvirt-{mine.instance_id}", tries)


def within_ours(trial: Trial, spec: DomainSpec) -> None:
    """What the storage daemon and qemu-img come to."""
    settings = trial.host.settings
    view, keys = volumes_view(settings), Path("/etc/shadow")
    assert view
    volume = f"{spec.volumes[0].volume_id}.raw"
    daemon, image = trial.host.daemon.pid, settings.host_dir / "images" / spec.image_id
    user = Path(f"/proc/{daemon}").stat().st_uid
    writes = trial.opens(daemon, apparmor.DAEMON, view / volume, os.O_RDWR, user)
    trial.say(f"user {user} writes {view / volume} under {apparmor.DAEMON}: {writes}", writes)
    tries = [(image, os.O_RDONLY, False), (keys, os.O_RDONLY, False)]
    tried(trial, daemon, apparmor.DAEMON, tries)
    tries = [(image, os.O_RDONLY, True), (image, os.O_WRONLY, False), (keys, os.O_RDONLY, False)]
    tried(trial, os.getpid(), apparmor.TOOL, tries)


def life(trial: Trial, spec: DomainSpec, other: DomainSpec) -> None:
    """What is asked of a guest that runs, and starts again."""
    driver, id = trial.host.driver, spec.instance_id
    asked = {"instance_id": id, "attempt": 1}
    more = DiskOnGuest(**asked, volume=trial.host.volume("vdc"))
    with trial.shown("a volume is plugged in while it runs"):  # out again only a guest with a kernel lets it
        driver.disks.plug(more, quiet)
    copies = Snapshots(trial.host.settings, trial.host.session, driver)
    with trial.shown("its disk is copied while it runs"):
        copies.take(SnapshotOnHost(**asked, image_id="00000000-0000-4000-8000-000000000001"), quiet)
    with trial.shown("its memory is written to a file, and read again"):
        again(lambda: driver.power.suspend(PowerOn(**asked), quiet))
        again(lambda: driver.power.resume(PowerOn(**asked), quiet))
    with trial.shown("it is switched off and on"):
        again(lambda: driver.power.off(PowerOff(**asked, timeout_s=0), quiet))
        again(lambda: driver.power.on(PowerOn(**asked), quiet))
    runs_under(trial, spec, "it runs again")
    with trial.shown("its disk is copied by qemu-img while it is off"):
        driver.power.off(PowerOff(**asked, timeout_s=0), quiet)
        copies.take(SnapshotOnHost(**asked, image_id="00000000-0000-4000-8000-000000000002"), quiet)
    for each in (spec, other):
        with trial.shown(f"{each.name} is deleted"):
            driver.clean_up(each.instance_id)


def run(steps: Callable[[Trial], Any]) -> int:
    hinders = confinement.load_own(Settings(state_dir=STATE, apparmor="required"))
    with Host(STATE) as host:
        trial = Trial(host)
        trial.say(f"profiles of our own: {hinders or 'loaded'}", not hinders)
        label = current(host.hypervisor.process.pid)
        trial.say(f"libvirtd runs under {label}", label == "libvirtd (enforce)")
        until(lambda: Path(f"/proc/{host.daemon.pid}/cmdline").read_text().startswith("qemu-st"), PATIENCE_S)
        label = current(host.daemon.pid)
        trial.say(f"the storage daemon runs under {label}", label == f"{apparmor.DAEMON} (enforce)")
        steps(trial)
        left = sorted(name for name in apparmor.held_by() if name.startswith("libvirt-"))
        trial.say(f"guests' profiles that something still runs under: {left}", not left)
    confinement.unload_own()
    trial.say("our profiles are unloaded", not apparmor.loaded())
    etc = sorted(file.name for file in Path("/etc/apparmor.d/libvirt").iterdir())
    trial.say(f"/etc/apparmor.d/libvirt: {' '.join(etc)}", etc == ["TEMPLATE.lxc", "TEMPLATE.qemu"])
    return trial.failed


def everything(trial: Trial) -> None:
    first, second = both(trial)
    before = refusals()
    of_guests = {each for each in before if not each.startswith("virt-aa-helper open /var/lib/libvirt/kilonova/images")}
    trial.say(f"refused so far: {sorted(of_guests)}", not of_guests)
    told = confinement.told(trial.host.settings)
    trial.say(f"kilonova status: AppArmor {told}", "around each guest (2 run under it)" in told)
    from_within(trial, first, second)
    within_ours(trial, first)
    known = refusals()
    life(trial, first, second)
    more = {each for each in refusals() - known if not each.startswith("virt-aa-helper open ")}
    trial.say(f"refused in its life: {sorted(more)}", not more)


if __name__ == "__main__":
    failed = run(everything)
    print(f"trial: {failed} failed", flush=True)
    sys.exit(1 if failed else 0)
