"""Profiles of our own for what reads guests' data beside QEMU: qemu-img, and the storage daemon.

They lie over the users that these run as. Who loads them, `kilonova up` or the administrator, says whether they are
in force: a command asks the kernel each time. Source: apparmor.d(5)."""

import re
from pathlib import Path

LOADED = Path("/sys/kernel/security/apparmor/profiles")
SEE = f"[ -e {LOADED} ] || mount -t securityfs securityfs /sys/kernel/security 2>/dev/null || :"
"""A shell's line, in a mount namespace of its own: `ip netns exec` leaves a /sys without it, and without AppArmor."""
TOOL, DAEMON = "kilonova-qemu-img", "kilonova-storage-daemon"
TEXT = f"""\
abi <abi/3.0>,
include <tunables/global>

# On files that it inherits: disks, images, copies of them, volumes; a path of another kind would be a fault.
profile {TOOL} flags=(attach_disconnected) {{
  include <abstractions/base>
  /usr/bin/qemu-img mr,
  /usr/lib/@{{multiarch}}/qemu/*.so mr,
  /sys/devices/system/node/{{,**}} r,
  /**/hosts/*/instances/*/* rwk,
  /**/hosts/*/images/* rk,
  /**/volumes/* rwk,
}}

# On the volumes, where the daemon's own mount namespace has them, and at its two sockets.
profile {DAEMON} flags=(attach_disconnected) {{
  include <abstractions/base>
  /usr/bin/qemu-storage-daemon mr,
  /usr/lib/@{{multiarch}}/qemu/*.so mr,
  /sys/devices/system/node/{{,**}} r,
  /run/kilonova/*.nbd/volumes/* rwk,
  /run/kilonova/*.nbd/socket rw,
  /run/kilonova/*.nbd/qmp/nbd.qmp rw,
  /**/log/*.log w,
  unix,
}}
"""


def loaded(file: Path = LOADED) -> set[str]:
    """Those of our profiles that the kernel enforces; none where it has no AppArmor."""
    try:
        lines = file.read_text().splitlines()
    except OSError:
        return set()
    return {TOOL, DAEMON} & {line.removesuffix(" (enforce)") for line in lines}


def confined(profile: str, file: Path = LOADED) -> list[str]:
    """What a command begins with that is to run under `profile`; nothing where it is not loaded."""
    return ["aa-exec", "-p", profile, "--"] if profile in loaded(file) else []


def held_by(proc: Path = Path("/proc")) -> dict[str, int]:
    """Profile → number of processes that run under it, of all that are enforced."""
    found: dict[str, int] = {}
    for current in proc.glob("[0-9]*/attr/current"):
        try:
            told = re.fullmatch(r"(.+) \(enforce\)\s*", current.read_text())
        except OSError:
            continue
        if told:
            found[told[1]] = found.get(told[1], 0) + 1
    return found
