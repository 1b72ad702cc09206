"""A control group for each guest of this machine's cloud: the kernel bounds the memory and the threads of its QEMU.

libvirtd itself makes none (workers/libvirtd.py): in the guests' network namespace it does not see the machine's
hierarchy. The agent does. Source: the kernel's admin-guide, "cgroup-v1" and "cgroup-v2"."""

import contextlib
import errno
import hashlib
import threading
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from infra import logs
from infra.host.files.paths import domain_name
from infra.settings import Settings

ROOT = Path("/sys/fs/cgroup")
BESIDE_RAM = 1 << 30
"""Bytes that QEMU may have beside the guest's memory: translated code, screen, buffers, the page cache of its files."""
THREADS = 1024
"""QEMU has one for each virtual CPU, some of its own, and up to 64 for its disks."""
V1 = {"memory": "memory.limit_in_bytes", "pids": "pids.max"}
V2 = {"memory": "memory.max", "pids": "pids.max"}
log = logs.get(__name__)


class GuestGroups:
    """Does nothing where libvirtd is the machine's own, which has groups of its own, or where guests are pretended."""

    def __init__(self, settings: Settings, root: Path = ROOT) -> None:
        query = parse_qs(urlsplit(settings.libvirt_uri).query)
        self._run = Path(query["socket"][0]).parent / "qemu" if settings.guest_view and "socket" in query else None
        self._name = f"kilonova-{hashlib.sha256(str(settings.host_dir.absolute()).encode()).hexdigest()[:10]}"
        self._root, self._together = root, (root / "cgroup.controllers").exists()
        self._turn, self._told = threading.Lock(), False

    def bound(self, instance_id: str, memory_kib: int) -> None:
        """Put the guest's QEMU, which was just started, into a group of its own; may be repeated."""
        if self._run is None:
            return
        try:
            pid = (self._run / f"{domain_name(instance_id)}.pid").read_text().strip()
            limits = {"memory": str((memory_kib << 10) + BESIDE_RAM), "pids": str(THREADS)}
            with self._turn:
                self._remove_empty()
                if not (groups := self._groups(instance_id)):
                    raise FileNotFoundError(errno.ENOENT, "no hierarchy is mounted", str(self._root))
                for group, files in groups:
                    group.mkdir(parents=True, exist_ok=True)
                    for controller, file in files.items():
                        (group / file).write_text(limits[controller])
                    (group / "cgroup.procs").write_text(pid)
        except OSError as error:
            if not self._told:
                self._told = True
                log.warning("guests have no control groups here", error=f"{error.strerror}: {error.filename}")

    def remove(self) -> None:
        """All that are empty, and the host's own when it is."""
        with self._turn:
            self._remove_empty()
            for above in self._above():
                with contextlib.suppress(OSError):
                    above.rmdir()

    def _groups(self, instance_id: str) -> list[tuple[Path, dict[str, str]]]:
        """Each directory of the guest's, and the limits that are set there."""
        if not self._together:
            return [(above / instance_id, {above.parent.name: V1[above.parent.name]}) for above in self._above()]
        (above,) = self._above() or [self._root / self._name]
        above.mkdir(exist_ok=True)
        for parent in (self._root, above):
            (parent / "cgroup.subtree_control").write_text("+memory +pids")
        return [(above / instance_id, V2)]

    def _above(self) -> list[Path]:
        """Directories of the host's, one in each hierarchy."""
        places = [self._root] if self._together else [self._root / controller for controller in V1]
        return [place / self._name for place in places if (place / "cgroup.procs").exists()]

    def _remove_empty(self) -> None:
        """The kernel keeps those in which anything runs."""
        for above in self._above():
            for group in above.glob("*-*"):
                with contextlib.suppress(OSError):
                    group.rmdir()
