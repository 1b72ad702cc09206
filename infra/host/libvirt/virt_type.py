"""KVM or emulation: KVM counts only once guest code ran under it on this very boot of the machine, interrupts too."""

import json
import shutil
import subprocess
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from infra import logs
from infra.credentials import write_private
from infra.host.files.paths import HostPaths, is_test_driver
from infra.settings import Settings

QEMU = "qemu-system-x86_64"
PATIENCE_S = 5.0
SIGN = b"KVM-RUNS"
log = logs.get(__name__)


@dataclass(frozen=True)
class VirtType:
    """libvirt's domain type and why it was chosen."""

    virt_type: str
    reason: str


def known(settings: Settings) -> VirtType | None:
    """What the settings say, else what was seen since the machine was booted, with this version of QEMU."""
    if is_test_driver(settings):
        return VirtType("test", "libvirt's test driver")
    if settings.virt_type != "auto":
        return VirtType(settings.virt_type, "named in the settings")
    file = HostPaths(settings).virt_type
    if file.exists():
        kept = json.loads(file.read_text())
        if all(kept.get(name) == value for name, value in _key().items()):
            return VirtType(kept["virt_type"], kept["reason"])
    return None


def detect(settings: Settings) -> VirtType:
    """What is known, else what is seen now, which is kept."""
    if before := known(settings):
        return before
    reason = why_not_kvm()
    found = (
        VirtType("qemu", f"no KVM: {reason}") if reason else VirtType("kvm", "guest code was seen running under KVM")
    )
    log.info("virtualization type", **asdict(found))
    write_private(HostPaths(settings).virt_type, json.dumps({**_key(), **asdict(found)}))
    return found


def _key() -> dict[str, object]:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return {"probe": 2, "boot_id": boot, "qemu": _qemu_version()}


def why_not_kvm(device: Path = Path("/dev/kvm")) -> str:
    """ "" when guest code ran under KVM, else the reason in words."""
    if not device.exists():
        return f"{device} does not exist"
    emulator = shutil.which(QEMU)
    if not emulator:
        return f"{QEMU} is not installed"
    with tempfile.TemporaryDirectory() as directory:
        sector, serial = Path(directory) / "sector", Path(directory) / "serial"
        sector.write_bytes(boot_sector(SIGN))
        command = [emulator, "-accel", "kvm", "-cpu", "host", "-machine", "pc", "-m", "16", "-display", "none"]
        command += ["-nodefaults", "-no-reboot", "-serial", f"file:{serial}", "-device", "isa-debug-exit,iobase=0xf4"]
        command += ["-drive", f"file={sector},format=raw,if=ide"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, cwd=directory)
        except subprocess.TimeoutExpired:
            return f"a guest hung for {PATIENCE_S:g} s before its first instruction"
        if serial.exists() and SIGN in serial.read_bytes():
            return ""
        lines = done.stderr.strip().splitlines()
        return lines[-1][:200] if lines else f"QEMU ended with {done.returncode} and the guest said nothing"


def boot_sector(sign: bytes) -> bytes:
    """512 bytes that a PC boots: enter protected mode, take an interrupt there, write `sign` to the first serial port,
    then end QEMU by isa-debug-exit, or halt. Boot loaders live on just that, and a half working KVM fails at it, which
    runs plain code in real mode all the same."""
    code = bytes.fromhex(
        "fa31c08ed88ec08ed0bc007c"  # cli; ds = es = ss = 0; sp = 0x7c00
        "bf8031b8647cabb80800abb8008eab31c0ab"  # gate of interrupt 0x30, at 0x3180: 8:0x7c64
        "660f0116987c660f011e9e7c"  # lgdt; lidt
        "0f20c00c010f22c066ea3a7c00000800"  # protected mode; ljmp 8:0x7c3a
        "66b810008ed88ed0bc0070000066b828000f00d8"  # ds = ss = 0x10; esp = 0x7000; ltr 0x28
        "cd30"  # int 0x30
        "bea47c000066baf803ac84c07403eeebf8"  # next: al = *sign++; out 0x3f8, al; until it is 0
        "e6f4f4"  # out 0xf4, al; hlt
        "6061cf90"  # the interrupt: pusha; popa; iret
        "0000000000000000ffff0000009acf00ffff00000092cf00"  # nothing, code and data, both flat
        "00000000000000000000000000000000"
        "6700800500890000"  # a task segment
        "2f00687c0000ff0700300000"  # where the tables are: 0x7c68, 0x3000
    )
    return (code + sign + b"\x00").ljust(510, b"\x00") + b"\x55\xaa"


def _qemu_version() -> str:
    emulator = shutil.which(QEMU)
    if not emulator:
        return ""
    done = subprocess.run([emulator, "--version"], capture_output=True, text=True, timeout=30)
    return done.stdout.partition("\n")[0]
