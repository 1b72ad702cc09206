"""KVM or emulation: KVM counts only once guest code was seen running under it on this very boot of the machine."""

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


def detect(settings: Settings) -> VirtType:
    """What the settings say, else what was seen. The answer is kept per boot of the machine and version of QEMU."""
    if is_test_driver(settings):
        return VirtType("test", "libvirt's test driver")
    if settings.virt_type != "auto":
        return VirtType(settings.virt_type, "named in the settings")
    file = HostPaths(settings).virt_type
    key = {"boot_id": Path("/proc/sys/kernel/random/boot_id").read_text().strip(), "qemu": _qemu_version()}
    if file.exists():
        known = json.loads(file.read_text())
        if all(known.get(name) == value for name, value in key.items()):
            return VirtType(known["virt_type"], known["reason"])
    reason = why_not_kvm()
    found = (
        VirtType("qemu", f"no KVM: {reason}") if reason else VirtType("kvm", "guest code was seen running under KVM")
    )
    log.info("virtualization type", **asdict(found))
    write_private(file, json.dumps({**key, **asdict(found)}))
    return found


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
    """512 bytes that a PC boots: write `sign` to the first serial port, then end QEMU by isa-debug-exit, or halt."""
    code = b"\xfa\x31\xc0\x8e\xd8"  # cli; xor ax,ax; mov ds,ax
    code += b"\xbe\x16\x7c"  # mov si, sign
    code += b"\xba\xf8\x03"  # mov dx, 0x3f8
    code += b"\xac\x84\xc0\x74\x03\xee\xeb\xf8"  # next: lodsb; test al,al; jz end; out dx,al; jmp next
    code += b"\xe6\xf4\xf4"  # end: out 0xf4,al; hlt
    code += sign + b"\x00"
    return code.ljust(510, b"\x00") + b"\x55\xaa"


def _qemu_version() -> str:
    emulator = shutil.which(QEMU)
    if not emulator:
        return ""
    done = subprocess.run([emulator, "--version"], capture_output=True, text=True, timeout=30)
    return done.stdout.partition("\n")[0]
