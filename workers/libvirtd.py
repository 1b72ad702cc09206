"""A libvirtd of our own per compute host: private directories in a mount namespace, the machine's own untouched."""

import shlex
import shutil
import uuid
from pathlib import Path

from infra.apparmor import SEE
from infra.host.files.owner import Owner
from infra.host.files.uids import GUEST_USER
from infra.host.libvirt.virt_type import VirtType, known
from infra.settings import Settings
from workers import confinement
from workers.layout import GUEST_VIEW, Layout, digest, guest_uid, guest_uids, host_settings, libvirt_run_dir

MOUNTS = {"run": "/run/libvirt", "lib": "/var/lib/libvirt", "etc": "/etc/libvirt", "log": "/var/log/libvirt",
          "cache": "/var/cache/libvirt"}  # fmt: skip
DRIVERS = Path("/usr/lib/x86_64-linux-gnu/libvirt/connection-driver")
QEMU_DRIVERS = ("qemu", "secret", "nwfilter")
LIBVIRT_ID = 64055  # Debian's fixed uid and gid of libvirt-qemu
OWN_KVM = """\
if [ -c /dev/kvm ]; then
mount -t tmpfs -o mode=711,nosuid kilonova /var/cache/libvirt/dev
if [ -e {without} ]; then
mknod -m 0 /var/cache/libvirt/dev/kvm c 0 0
else
mknod -m 660 /var/cache/libvirt/dev/kvm c $(stat -c '0x%t 0x%T' /dev/kvm)
chgrp {uid} /var/cache/libvirt/dev/kvm
fi
mount --bind /var/cache/libvirt/dev/kvm /dev/kvm
fi"""
"""KVM for guests, whoever may use it on the machine. Where their user may not, libvirt 9 asks QEMU what it can do again
and again: it asks with CAP_DAC_OVERRIDE, and then finds that the user may not. A KVM under which no guest runs is
hidden: libvirt would ask QEMU twice, and anew at each start on another processor, since it compares its CPUID."""
ONE_EMULATOR = """\
for other in /usr/bin/qemu-system-*; do
case "$other" in *-x86_64) continue ;; esac
[ -L "$other" ] || [ ! -e "$other" ] || mount --bind /dev/null "$other"
done"""
"""Before its first answer libvirt asks each emulator what it can do, for seconds. Guests are x86_64."""
PROFILES = "apparmor"
OWN_PROFILES = "if [ -d {own} ]; then mount --bind {own} {theirs}; {see}; fi"
OWN_ETC = """\
mount -t tmpfs -o mode=755,nosuid,nodev kilonova {copy}
cp -a /etc/. {copy}/ || :
cp {home}/passwd {home}/group {home}/hosts {copy}/
mount --bind {copy} /etc"""
"""Guests' accounts beside the machine's. Not as files over /etc/passwd and /etc/group: the kernel takes such mounts
away when the machine replaces its own, as every useradd does, and no guest would start any more. What the copy misses
since it went meanwhile is no loss."""
COPY_OF_ETC = "machine-etc"
WITHOUT_KVM = "without-kvm"  # a file: the guests of this host do not run under KVM
SEEN_BY_GUESTS = ("instances", "images")

LIBVIRTD_CONF = """\
host_uuid = "{uuid}"
auth_unix_rw = "none"
auth_unix_ro = "none"
unix_sock_group = "root"
unix_sock_rw_perms = "0700"
unix_sock_ro_perms = "0700"
unix_sock_admin_perms = "0700"
max_clients = 200
log_level = 3
"""
QEMU_CONF = """\
user = "{user}"
group = "{user}"
dynamic_ownership = 0
remember_owner = 0
seccomp_sandbox = 1
security_driver = {security_driver}
namespaces = [ "mount" ]
cgroup_controllers = []
stdio_handler = "file"
set_process_name = 1
vnc_listen = "127.0.0.1"
"""


def prepare(settings: Settings, layout: Layout, host: str) -> None:
    """Write the host's libvirt configuration below STATE/hosts/<host>/libvirt. Harmless while libvirtd runs."""
    home = _home(settings, host)
    for name in ("lib", "etc", "log", "cache/dev", "drivers", "no-drivers", COPY_OF_ETC):
        (home / name).mkdir(parents=True, exist_ok=True)
    libvirt_run_dir(settings, host).mkdir(parents=True, exist_ok=True)
    (home / "lib" / "qemu").mkdir(exist_ok=True)
    host_uuid = uuid.uuid5(uuid.NAMESPACE_URL, f"kilonova:{settings.state_dir}:{host}")
    (home / "etc" / "libvirtd.conf").write_text(LIBVIRTD_CONF.format(uuid=host_uuid))
    driver = confinement.security_driver(settings)
    (home / "etc" / "qemu.conf").write_text(QEMU_CONF.format(user=GUEST_USER, security_driver=driver))
    confinement.write_profiles(settings, home / PROFILES, home.parent / "instances")
    home.parent.chmod(0o700)  # guests see only what is mounted for them
    _kvm(home, known(host_settings(settings, layout, host)))
    owner = Owner(guest_uid(settings))
    for name in SEEN_BY_GUESTS:
        owner.directory(home.parent / name)
        (home / "lib" / GUEST_VIEW.name / name).mkdir(parents=True, exist_ok=True)
    for name in QEMU_DRIVERS:
        link = home / "drivers" / f"libvirt_driver_{name}.so"
        if not link.is_symlink() and DRIVERS.is_dir():
            link.symlink_to(DRIVERS / link.name)
    _accounts(home, owner.uid, guest_uids(settings, layout.hosts.index(host)))
    (home / "hosts").write_text(f"127.0.0.1 localhost {host}\n")


def _home(settings: Settings, host: str) -> Path:
    return settings.state_dir / "hosts" / host / "libvirt"


def _kvm(home: Path, virt: VirtType | None) -> None:
    if virt and virt.virt_type == "qemu":
        (home / WITHOUT_KVM).touch()
    else:
        (home / WITHOUT_KVM).unlink(missing_ok=True)


def _accounts(home: Path, uid: int, own: range) -> None:
    """Copies of the machine's user and group lists that have the guests' users, and libvirt-qemu, without which the
    driver does not start. libvirt looks at a disk in the groups of its guest's account before it starts QEMU."""
    users = Path("/etc/passwd").read_text().splitlines()
    groups = Path("/etc/group").read_text().splitlines()
    members = {f"{GUEST_USER}-{each}": each for each in own}
    for name, each in ({GUEST_USER: uid} | members).items():
        users.append(f"{name}:x:{each}:{each}::/nonexistent:/usr/sbin/nologin")
    groups.append(f"{GUEST_USER}:x:{uid}:{','.join(members)}")
    if not any(line.startswith("libvirt-qemu:") for line in users):
        users.append(f"libvirt-qemu:x:{LIBVIRT_ID}:{LIBVIRT_ID}::/var/lib/libvirt:/usr/sbin/nologin")
        groups.append(f"libvirt-qemu:x:{LIBVIRT_ID}:")
    if not any(line.startswith("kvm:") for line in groups):
        groups.append(f"kvm:x:{LIBVIRT_ID + 1}:")
    (home / "passwd").write_text("\n".join(users) + "\n")
    (home / "group").write_text("\n".join(groups) + "\n")


def argv(settings: Settings, layout: Layout, host: str) -> list[str]:
    """Command line of the host's libvirtd in the foreground, within its own mount and UTS namespaces and the guests'
    network namespace."""
    lines = [*view(settings, host), "exec libvirtd -p /run/libvirt/libvirtd.pid -f /etc/libvirt/libvirtd.conf"]
    inside = ["ip", "netns", "exec", layout.netns] if layout.netns else []
    return [*inside, "unshare", "--mount", "--uts", "--propagation", "private", "/bin/sh", "-c", "\n".join(lines)]


def view(settings: Settings, host: str) -> list[str]:
    """A shell's lines that make the machine look as the host's libvirtd is to see it, in namespaces of its own."""
    home = _home(settings, host)
    sources = {target: home / name for name, target in MOUNTS.items()}
    sources["/run/libvirt"] = libvirt_run_dir(settings, host)
    etc = OWN_ETC.format(home=shlex.quote(str(home)), copy=shlex.quote(str(home / COPY_OF_ETC)))
    lines = ["set -e", "umask 022", etc]
    for target, source in sources.items():
        lines += [f"mkdir -p {target}", f"mount --bind {shlex.quote(str(source))} {target}"]
    for name in SEEN_BY_GUESTS:
        lines.append(f"mount --bind {shlex.quote(str(home.parent / name))} {GUEST_VIEW / name}")
    lines.append(f"mount -o remount,bind,ro,nosuid,nodev {GUEST_VIEW / 'images'}")
    lines.append(OWN_KVM.format(uid=guest_uid(settings), without=shlex.quote(str(home / WITHOUT_KVM))))
    lines.append(ONE_EMULATOR)
    lines.append(OWN_PROFILES.format(own=shlex.quote(str(home / PROFILES)), theirs=f"/{confinement.PROFILES}", see=SEE))
    return [*lines, f"hostname {shlex.quote(host)}"]


def environment(settings: Settings, layout: Layout, host: str) -> dict[str, str]:
    """Only the drivers that are needed: libvirt's test driver is built in, QEMU's is loaded."""
    home = _home(settings, host)
    return {"LIBVIRT_DRIVER_DIR": str(home / ("no-drivers" if layout.driver == "test" else "drivers"))}


def forget_run_dir(settings: Settings) -> None:
    """Remove the socket directory below /run, where one was needed."""
    shutil.rmtree(Path("/run") / f"kilonova-{digest(settings.state_dir)}", ignore_errors=True)
