"""A control group for each guest of this machine's cloud: the kernel bounds the memory and the threads of its QEMU, and
what CPU time its flavor leaves it.

libvirtd itself makes none (workers/libvirtd.py): in the guests' network namespace it does not see the machine's
hierarchy. The agent does. Source: the kernel's admin-guide, "cgroup-v1" and "cgroup-v2"."""

import contextlib
import errno
import hashlib
import threading
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from infra import logs
from infra.contracts.errors import host_cannot
from infra.contracts.limits import Limits
from infra.host.files.paths import domain_name
from infra.settings import Settings

ROOT = Path("/sys/fs/cgroup")
BESIDE_RAM = 1 << 30
"""Bytes that QEMU may have beside the guest's memory: translated code, screen, buffers, the page cache of its files."""
THREADS = 1024
"""QEMU has one for each virtual CPU, some of its own, and up to 64 for its disks."""
V1 = {"memory": "memory.limit_in_bytes", "pids": "pids.max"}
V2 = {"memory": "memory.max", "pids": "pids.max"}
SHARES, WEIGHT = "cpu.shares", "cpu.weight"
"""Of version 1 and of version 2: a group's weight beside others."""
USUAL = {SHARES: 1024, WEIGHT: 100}
MOST = {SHARES: 262144, WEIGHT: 10000}
PERIOD_US = 100000
log = logs.get(__name__)


class GuestGroups:
    """Does nothing where libvirtd is the machine's own, which has groups of its own, or where guests are pretended."""

    def __init__(self, settings: Settings, root: Path = ROOT) -> None:
        query = parse_qs(urlsplit(settings.libvirt_uri).query)
        self._run = Path(query["socket"][0]).parent / "qemu" if settings.guest_view and "socket" in query else None
        self._name = f"kilonova-{hashlib.sha256(str(settings.host_dir.absolute()).encode()).hexdigest()[:10]}"
        self._root, self._together = root, (root / "cgroup.controllers").exists()
        self._turn, self._told = threading.Lock(), False

    def can_limit_cpus(self) -> bool:
        """Whether the kernel lets us give a guest less than all CPU time."""
        if self._run is None:
            return False
        if self._together:
            return "cpu" in (self._root / "cgroup.controllers").read_text().split()
        return (self._root / "cpu" / "cpu.cfs_quota_us").exists()

    def bound(self, instance_id: str, memory_kib: int, limits: Limits | None = None) -> None:
        """Put the guest's QEMU, which was just started, into a group of its own; may be repeated.

        HostCannot when its CPU time cannot be limited as `limits` says."""
        limits = limits or Limits()
        if limits.of_cpu and not self.can_limit_cpus():
            raise host_cannot("the guest's CPU time cannot be limited here: the kernel has no control groups for it")
        if self._run is None:
            return
        try:
            pid = (self._run / f"{domain_name(instance_id)}.pid").read_text().strip()
            most = {"memory": str((memory_kib << 10) + BESIDE_RAM), "pids": str(THREADS)}
            with self._turn:
                self._remove_empty()
                if not (groups := self._groups(instance_id)):
                    raise FileNotFoundError(errno.ENOENT, "no hierarchy is mounted", str(self._root))
                for group, files in groups:
                    group.mkdir(parents=True, exist_ok=True)
                    for controller, file in files.items():
                        (group / file).write_text(most[controller])
                    (group / "cgroup.procs").write_text(pid)
                if limits.of_cpu:
                    self._limit_cpus(instance_id, pid, limits)
        except OSError as error:
            if limits.of_cpu:
                raise host_cannot(f"the guest's CPU time cannot be limited here: {error.strerror}") from None
            if not self._told:
                self._told = True
                log.warning("guests have no control groups here", error=f"{error.strerror}: {error.filename}")

    def _limit_cpus(self, instance_id: str, pid: str, limits: Limits) -> None:
        """Guests share what all of them weigh together, so that a weight means the same with few and with many."""
        above = self._root / self._name if self._together else self._root / "cpu" / self._name
        group = above / instance_id
        group.mkdir(parents=True, exist_ok=True)
        if self._together:
            for parent in (self._root, above):
                (parent / "cgroup.subtree_control").write_text("+cpu")
        for file, value in cpu_files(limits, together=self._together).items():
            (group / file).write_text(value)
        weight = WEIGHT if self._together else SHARES
        weights = [int(file.read_text()) for file in above.glob(f"*-*/{weight}")]
        (above / weight).write_text(str(min(max(sum(weights), USUAL[weight]), MOST[weight])))
        (group / "cgroup.procs").write_text(pid)

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
            names = ((above, above.parent.name) for above in self._above())
            return [(above / instance_id, {name: V1[name]}) for above, name in names if name in V1]
        (above,) = self._above() or [self._root / self._name]
        above.mkdir(exist_ok=True)
        for parent in (self._root, above):
            (parent / "cgroup.subtree_control").write_text("+memory +pids")
        return [(above / instance_id, V2)]

    def _above(self) -> list[Path]:
        """Directories of the host's, one in each hierarchy."""
        places = [self._root] if self._together else [self._root / controller for controller in (*V1, "cpu")]
        return [place / self._name for place in places if (place / "cgroup.procs").exists()]

    def _remove_empty(self) -> None:
        """The kernel keeps those in which anything runs."""
        for above in self._above():
            for group in above.glob("*-*"):
                with contextlib.suppress(OSError):
                    group.rmdir()


def cpu_files(limits: Limits, *, together: bool) -> dict[str, str]:
    """File of a group → what is written there. Source: the kernel's "sched-bwc" and "cgroup-v2"; between shares and
    weight stands the formula of systemd and of the container runtimes."""
    period, shares = limits.cpu_period or PERIOD_US, limits.cpu_shares or USUAL[SHARES]
    quota = limits.cpu_quota
    if together:
        weight = 1 + (shares - 2) * 9999 // 262142 if limits.cpu_shares else USUAL[WEIGHT]
        return {WEIGHT: str(weight), "cpu.max": f"{quota or 'max'} {period}"}
    return {SHARES: str(shares), "cpu.cfs_period_us": str(period), "cpu.cfs_quota_us": str(quota or -1)}
