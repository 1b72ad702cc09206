"""A Debian 12 in a virtual machine, whose kernel has AppArmor: built once, started from the same image each time."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.host.libvirt.virt_type import why_not_kvm
from workers.layout import checkout

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "kilonova" / "armor"
SYSTEM = ("linux-image-cloud-amd64", "systemd-sysv", "apparmor", "libvirt-daemon-system", "iproute2", "python3")
HYPERVISOR = (
    "libvirt-daemon-driver-qemu",
    "libvirt-clients",
    "qemu-system-x86",
    "qemu-utils",
    "qemu-block-extra",
    "ovmf",
)
MIRROR = "deb http://deb.debian.org/debian bookworm main"
LEFT_OUT = (".git", ".uv", "var", ".mypy_cache", ".ruff_cache", ".pytest_cache")
MASKED = ("libvirtd.service", "libvirtd.socket", "libvirtd-ro.socket", "libvirtd-admin.socket", "virtlogd.socket")
"""The distribution's own libvirtd does not run: ours is another process of the same program."""
QUIET = "systemd.show_status=false systemd.mask=serial-getty@ttyS0.service"
"""A login would hang up on whoever writes to the serial port."""
UNIT = """\
[Unit]
After=apparmor.service local-fs.target
Requires=apparmor.service
SuccessAction=poweroff-force
FailureAction=poweroff-force

[Service]
Type=oneshot
WorkingDirectory={checkout}
ExecStart={checkout}/.venv/bin/python -m tests.armor.trial
Environment=PYTHONUNBUFFERED=1 HOME=/root
StandardOutput=file:/dev/ttyS0
StandardError=file:/dev/ttyS0
"""
FSTAB = """\
/dev/vda / ext4 defaults,noatime 0 0
/dev/vdb {checkout} ext4 defaults,noatime 0 0
tmpfs /tmp tmpfs defaults 0 0
"""


class CannotBuild(Exception):
    """What is missing, in words."""


def build() -> Path:
    """The directory with `system.img`, `vmlinuz` and `initrd`; some three minutes the first time."""
    ready = CACHE / "system.img"
    if ready.exists():
        return CACHE
    if sys.version_info[:2] != (3, 11):
        raise CannotBuild("the machine's Python is Debian 12's 3.11, and modules of this environment are another's")
    if not shutil.which("mmdebstrap"):
        raise CannotBuild("there is no mmdebstrap: apt-get install mmdebstrap")
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE, prefix="root-") as place:
        root = Path(place) / "root"
        argv = ["mmdebstrap", "--quiet", "--mode=root", "--variant=apt", "--format=directory"]
        argv += ["--aptopt=APT::Install-Recommends false", f"--include={','.join(SYSTEM + HYPERVISOR)}"]
        _run(*argv, "bookworm", str(root), MIRROR)
        _configure(root)
        for name in ("vmlinuz", "initrd.img"):
            (found,) = (root / "boot").glob(f"{name}-*")
            shutil.copy(found, CACHE / name)
        _run("mke2fs", "-q", "-F", "-t", "ext4", "-d", str(root), str(ready.with_suffix(".new")), "6G")
    ready.with_suffix(".new").replace(ready)
    return CACHE


def _configure(root: Path) -> None:
    units = root / "etc/systemd/system"
    (root / "etc/fstab").write_text(FSTAB.format(checkout=checkout()))
    (root / "etc/hostname").write_text("armor\n")
    (root / "etc/apparmor/parser.conf").write_text("Optimize=no-expr-simplify\n")
    (root / str(checkout()).lstrip("/")).mkdir(parents=True, exist_ok=True)
    (units / "kilonova-trial.service").write_text(UNIT.format(checkout=checkout()))
    wanted = units / "multi-user.target.wants"
    wanted.mkdir(exist_ok=True)
    (wanted / "kilonova-trial.service").symlink_to("../kilonova-trial.service")
    for name in MASKED:
        (units / name).unlink(missing_ok=True)
        (units / name).symlink_to("/dev/null")


def pack(image: Path) -> None:
    """This checkout and its environment as a disk, at the same place in the machine; its Python is the machine's."""
    with tempfile.TemporaryDirectory(dir=image.parent) as place:
        tree = Path(place) / "tree"
        shutil.copytree(checkout(), tree, symlinks=True, ignore=shutil.ignore_patterns(*LEFT_OUT))
        venv = tree / ".venv"
        for python in venv.glob("bin/python*"):
            python.unlink()
        (venv / "bin/python").symlink_to("/usr/bin/python3")
        (venv / "pyvenv.cfg").write_text("home = /usr/bin\ninclude-system-site-packages = false\n")
        _run("mke2fs", "-q", "-F", "-t", "ext4", "-d", str(tree), str(image), "3G")


@contextmanager
def started() -> Iterator[subprocess.Popen[str]]:
    """The machine, which runs the trial and goes off; what it says is its standard output."""
    built = build()
    with tempfile.TemporaryDirectory(dir=CACHE, prefix="run-") as place:
        tree, overlay = Path(place) / "tree.img", Path(place) / "system.qcow2"
        pack(tree)
        _run("qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", str(built / "system.img"), str(overlay))
        accel = ["tcg,thread=multi"] if why_not_kvm() else ["kvm"]
        argv = ["qemu-system-x86_64", "-machine", "q35", "-cpu", "max", "-accel", *accel, "-smp", "1", "-m", "2560"]
        argv += ["-display", "none", "-monitor", "none", "-nic", "none", "-no-reboot", "-serial", "stdio"]
        argv += ["-kernel", str(built / "vmlinuz"), "-initrd", str(built / "initrd.img"), "-append"]
        argv += [f"root=/dev/vda rw console=ttyS0 {QUIET} apparmor=1 security=apparmor mitigations=off"]
        for drive in (f"file={overlay}", f"file={tree},format=raw"):
            argv += ["-drive", f"{drive},if=virtio,cache=unsafe"]
        with subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, errors="replace"
        ) as qemu:
            try:
                yield qemu
            finally:
                qemu.kill()


def _run(*argv: str) -> None:
    done = subprocess.run(argv, capture_output=True, text=True)
    if done.returncode:
        raise CannotBuild(f"{argv[0]}: {done.stderr.strip()[-1000:]}")
