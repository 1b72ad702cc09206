"""qemu-img in a cage: as an unprivileged user, on open files only, with limits on memory and time."""

import os
import pwd
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from infra.apparmor import TOOL, confined

MEMORY = 4 << 30
CAGE = ("prlimit", f"--as={MEMORY}", "--core=0", "--")
PAUSE_S = 0.2
USERS = ("kilonova", "nobody")


class Cancelled(Exception):
    """The work was asked to stop: the volume is being deleted, or the service is."""


class TimedOut(OSError):
    """The work took longer than its limit."""


def unprivileged() -> tuple[int, int] | None:
    """(uid, gid) that tools run as when this process is root; else None: they run as it does."""
    if os.geteuid() != 0:
        return None
    for name in USERS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return entry.pw_uid, entry.pw_gid
    return 65534, 65534


def _owner(known: os.stat_result) -> tuple[int, int] | tuple[None, None]:
    """Whom root acts as on a file or directory: its owner, unless that is root."""
    if os.geteuid() == 0 and known.st_uid != 0:
        return known.st_uid, known.st_gid
    return unprivileged() or (None, None)


def run(argv: list[str], cancelled: Callable[[], bool], limit_s: float, files: tuple[int, ...] = ()) -> str:
    """Output of a command that sees nothing but `files`. Raises Cancelled, TimedOut, or OSError with the command's last
    words (ENOSPC where they say so)."""
    uid, gid = _owner(os.fstat(files[0])) if files else (unprivileged() or (None, None))
    groups: list[int | str] | None = None if uid is None else []
    end = time.monotonic() + limit_s
    late = False
    with subprocess.Popen(
        [*CAGE, *confined(TOOL), *argv],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        pass_fds=files,
        cwd="/",
        user=uid,
        group=gid,
        extra_groups=groups,
    ) as process:
        try:
            while True:
                try:
                    out, err = process.communicate(timeout=PAUSE_S)
                    break
                except subprocess.TimeoutExpired:
                    late = time.monotonic() > end
                    if late or cancelled():
                        process.kill()
        finally:
            process.kill()
    if late:
        raise TimedOut(110, f"{argv[0]} took longer than {limit_s:.0f} s")
    if cancelled():
        raise Cancelled
    if process.returncode:
        words = err.strip().splitlines()[-1:] or [f"exit {process.returncode}"]
        number = 28 if "No space left" in err else 5  # ENOSPC, EIO
        raise OSError(number, f"{Path(argv[0]).name}: {words[0]}")
    return out


@contextmanager
def lent(*wanted: tuple[Path, int]) -> Iterator[list[int]]:
    """Descriptors of files that the tools' user may open. `wanted`: path and the flags of open(2). The files stay that
    user's, since another tool may be about to open the same one; nobody else comes through their directory (0700)."""
    who = _owner(wanted[0][0].parent.stat())
    with ExitStack() as held:
        found = []
        for path, flags in wanted:
            descriptor = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            held.callback(os.close, descriptor)
            os.fchmod(descriptor, 0o600)
            if who != (None, None):
                os.fchown(descriptor, *who)
            found.append(descriptor)
        yield found


def opened(descriptor: int) -> str:
    """Path by which a tool opens a lent file."""
    return f"/proc/self/fd/{descriptor}"
