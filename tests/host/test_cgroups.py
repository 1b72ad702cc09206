"""What the kernel keeps a guest's QEMU from: more memory than is its own, and processes without end."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from temporalio.exceptions import ApplicationError

from infra.contracts.limits import Limits
from infra.host import cgroups
from infra.host.cgroups import ROOT, GuestGroups
from infra.host.files.paths import domain_name
from infra.settings import Settings
from tests.host.cloud import new_id, until

writable = os.geteuid() == 0 and any((ROOT / name).exists() for name in ("memory/cgroup.procs", "cgroup.procs"))
needs_groups = pytest.mark.skipif(not writable, reason="this machine mounts no control groups, or we are not root")
WAITS = """
import os, sys
sys.stdin.readline()
"""
MEMORY = WAITS + "bytearray(b'x') * (200 << 20)\n"
PROCESSES = (
    WAITS
    + """
children = []
try:
    for _ in range(64):
        child = os.fork()
        if child == 0:
            sys.stdin.read()
            os._exit(0)
        children.append(child)
except BlockingIOError:
    pass
print(len(children), flush=True)
"""
)


SPINS = WAITS + "while True:\n    pass\n"


def settings_of(place: Path, **more: Any) -> Settings:
    uri = f"qemu+unix:///system?socket={place}/libvirt-sock"
    (place / "qemu").mkdir(exist_ok=True)
    return Settings(state_dir=place, libvirt_uri=uri, guest_view="/guests", **more)


def gone(groups: GuestGroups) -> bool:
    groups.remove()
    return not any(above.exists() for above in groups._above())


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[GuestGroups]:
    monkeypatch.setattr(cgroups, "BESIDE_RAM", 32 << 20)
    monkeypatch.setattr(cgroups, "THREADS", 8)
    found = GuestGroups(settings_of(tmp_path))
    yield found
    until(lambda: gone(found))


def guest(groups: GuestGroups, tmp_path: Path, work: str, limits: Limits | None = None) -> subprocess.Popen[str]:
    """A process in place of QEMU, bounded as one."""
    argv = [sys.executable, "-c", work]
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    (tmp_path / "qemu" / f"{domain_name(id := new_id())}.pid").write_text(f"{process.pid}\n")
    groups.bound(id, 16 << 10, limits)
    assert id in Path(f"/proc/{process.pid}/cgroup").read_text()
    return process


@needs_groups
def test_a_guest_that_takes_more_memory_than_its_own_is_ended(groups: GuestGroups, tmp_path: Path) -> None:
    with guest(groups, tmp_path, MEMORY) as process:
        process.communicate("go\n", timeout=30)
        assert process.returncode == -signal.SIGKILL


@needs_groups
def test_a_guest_makes_no_processes_without_end(groups: GuestGroups, tmp_path: Path) -> None:
    with guest(groups, tmp_path, PROCESSES) as process:
        assert process.stdin and process.stdout
        process.stdin.write("go\n")
        process.stdin.flush()
        assert process.stdout.readline() == "7\n", "eight, with the first one"


@needs_groups
def test_it_is_bounded_again_and_its_group_goes_with_it(groups: GuestGroups, tmp_path: Path) -> None:
    with guest(groups, tmp_path, WAITS) as process:
        id = next(each for each in groups._above()[0].glob("*-*")).name
        groups.bound(id, 16 << 10)
        groups.remove()
        assert id in Path(f"/proc/{process.pid}/cgroup").read_text(), "what runs keeps its group"
        process.communicate("go\n", timeout=30)
    until(lambda: gone(groups))


@needs_groups
def test_a_guest_gets_the_cpu_time_that_its_flavor_leaves_it(groups: GuestGroups, tmp_path: Path) -> None:
    """A tenth of one processor, of which it would take all; the kernel counts the periods in which it had to wait."""
    if not groups.can_limit_cpus():
        pytest.skip("this machine's kernel has no CPU controller for control groups")
    with guest(groups, tmp_path, SPINS, Limits(cpu_period=10000, cpu_quota=1000, cpu_shares=512)) as process:
        try:
            assert process.stdin
            process.stdin.write("go\n")
            process.stdin.flush()
            group = next(file.parent for file in ROOT.glob(f"**/{groups._name}/*-*/cpu.stat"))
            until(lambda: counted(group, "nr_throttled") > 20)
            begun, used = time.monotonic(), process_s(process.pid)
            until(lambda: time.monotonic() > begun + 1)
            assert process_s(process.pid) - used < 0.2 * (time.monotonic() - begun)
        finally:
            process.kill()


def counted(group: Path, name: str) -> int:
    return int(dict(line.split() for line in (group / "cpu.stat").read_text().splitlines())[name])


def process_s(pid: int) -> float:
    return sum(psutil.Process(pid).cpu_times()[:2])


def test_both_versions_of_control_groups_say_the_same() -> None:
    limits = Limits(cpu_shares=1024, cpu_quota=50000)
    one, two = (cgroups.cpu_files(limits, together=together) for together in (False, True))
    assert one == {"cpu.shares": "1024", "cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "50000"}
    assert two == {"cpu.weight": "39", "cpu.max": "50000 100000"}
    free = Limits(cpu_period=1000)
    assert cgroups.cpu_files(free, together=True) == {"cpu.weight": "100", "cpu.max": "max 1000"}
    assert cgroups.cpu_files(free, together=False)["cpu.cfs_quota_us"] == "-1"


def test_one_hierarchy_for_all_controllers(tmp_path: Path) -> None:
    """As with control groups of version 2: made-up files in place of the kernel's."""
    root = tmp_path / "cgroup"
    root.mkdir()
    for name in ("cgroup.controllers", "cgroup.procs"):
        (root / name).touch()
    groups, id = GuestGroups(settings_of(tmp_path), root), new_id()
    (tmp_path / "qemu" / f"{domain_name(id)}.pid").write_text("4711\n")
    groups.bound(id, 64 << 10)
    (above,) = groups._above()
    assert (
        (root / "cgroup.subtree_control").read_text()
        == "+memory +pids"
        == (above / "cgroup.subtree_control").read_text()
    )
    assert not groups.can_limit_cpus()
    found = {file.name: file.read_text() for file in (above / id).iterdir()}
    assert found == {"memory.max": str((64 << 20) + cgroups.BESIDE_RAM), "pids.max": "1024", "cgroup.procs": "4711"}


def test_cpu_time_in_one_hierarchy(tmp_path: Path) -> None:
    root = tmp_path / "cgroup"
    root.mkdir()
    (root / "cgroup.procs").touch()
    (root / "cgroup.controllers").write_text("cpuset cpu memory pids")
    groups = GuestGroups(settings_of(tmp_path), root)
    assert groups.can_limit_cpus()
    for id, shares in ((new_id(), 4), (new_id(), 20000)):
        (tmp_path / "qemu" / f"{domain_name(id)}.pid").write_text("4711\n")
        groups.bound(id, 64 << 10, Limits(cpu_shares=shares))
    (above,) = groups._above()
    assert (above / "cgroup.subtree_control").read_text() == "+cpu"
    assert (above / "cpu.weight").read_text() == str(1 + 1 + 19998 * 9999 // 262142), "all guests' together"


def test_where_there_are_none_guests_start_without(tmp_path: Path) -> None:
    """Nothing is made where no hierarchy is mounted, nor for a libvirtd that is the machine's own."""
    (root := tmp_path / "cgroup").mkdir()
    id = new_id()
    settings = settings_of(tmp_path)
    (tmp_path / "qemu" / f"{domain_name(id)}.pid").write_text("4711\n")
    GuestGroups(settings, root).bound(id, 1)
    (root / "memory").mkdir()
    (root / "memory" / "cgroup.procs").touch()
    with pytest.raises(ApplicationError, match="CPU time cannot be limited here"):
        GuestGroups(settings, root).bound(id, 1, Limits(cpu_shares=10))
    GuestGroups(settings.model_copy(update={"guest_view": ""}), root).bound(id, 1)
    assert [entry.name for entry in root.rglob("*")] == ["memory", "cgroup.procs"]
