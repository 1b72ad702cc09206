"""Who guests' processes run as on this host, and what of its files that user may touch."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from infra.apparmor import TOOL, confined

SHORT_S = 30
"""CPU seconds of a command that only looks, or makes something small."""
STACK = 1 << 20
"""Bytes for each thread. qemu-img has up to 64 where a disk is slow: with the usual 8 MiB, and an arena of memory for
each, they have no room beside each other."""


@dataclass(frozen=True)
class Owner:
    """`uid` is a user, and the group of the same number: of one guest, or of all guests that have none of their own.
    0 leaves both to libvirt. `readers` is the group of all guests of this host; 0: `uid` itself."""

    uid: int
    readers: int = 0

    def directory(self, path: Path) -> None:
        """Root's; the guests' user may pass through it, but neither list it nor put anything there."""
        path.mkdir(parents=True, exist_ok=True)
        self._set(path, 0, 0o710 if self.uid else 0o711)

    def own_directory(self, path: Path) -> None:
        """Where QEMU itself makes a socket; root must not trust what lies there."""
        path.mkdir(parents=True, exist_ok=True)
        self._set(path, self.uid, 0o700 if self.uid else 0o711)

    def writes(self, path: Path) -> None:
        """The guests' user has this file for itself."""
        self._set(path, self.uid, 0o600)

    def reads(self, path: Path) -> None:
        """Root's, and the guests' user may read it: not even a QEMU that was taken over changes an image."""
        self._set(path, 0, 0o440 if self.uid else 0o400)

    def command(self, *argv: str, cpu_s: int = SHORT_S) -> list[str]:
        """`argv`, qemu-img's, as this user, without privileges to gain, within bounds of memory and time."""
        bounds = (f"--as={1 << 30}", f"--stack={STACK}", f"--cpu={cpu_s}")
        limits = ("env", "MALLOC_ARENA_MAX=2", "prlimit", *bounds, "--")
        groups = f"--groups={self.readers}" if self.readers else "--clear-groups"
        user = ["setpriv", f"--reuid={self.uid}", f"--regid={self.uid}", groups, "--no-new-privs", "--"]
        return [*(user if self.uid else ()), *limits, *confined(TOOL), *argv]

    def _set(self, path: Path, uid: int, mode: int) -> None:
        if self.uid:
            os.chown(path, uid, self.uid, follow_symlinks=False)
        path.chmod(mode)


def opened(*files: int) -> Sequence[str]:
    """Names under which a command that inherits them finds open files, wherever they lie."""
    return [f"/dev/fd/{number}" for number in files]
