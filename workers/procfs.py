"""What /proc says about processes: the supervisor's and `kilonova status`'s only source. Standard library only."""

import os
from pathlib import Path

PROC = Path("/proc")
TICKS = os.sysconf("SC_CLK_TCK")
PAGE_KIB = os.sysconf("SC_PAGE_SIZE") // 1024
LISTEN = "0A"  # state column of /proc/net/tcp


def _stat(pid: int) -> list[str]:
    """Fields of /proc/PID/stat from the third (state) on; [] when there is no such process."""
    try:
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def alive(pid: int) -> bool:
    """True for a process that runs; a zombie does not."""
    fields = _stat(pid)
    return bool(fields) and fields[0] not in "ZX"


def started(pid: int) -> int:
    """Start time in clock ticks since boot, 0 for no process. With the PID it names a process uniquely."""
    fields = _stat(pid)
    return int(fields[19]) if fields else 0


def age_s(pid: int) -> float:
    begun = started(pid)
    uptime = float((PROC / "uptime").read_text().split()[0])
    return max(0.0, uptime - begun / TICKS) if begun else 0.0


def cpu_s(pid: int) -> float:
    """CPU seconds, user and system, of the process itself."""
    fields = _stat(pid)
    return (int(fields[11]) + int(fields[12])) / TICKS if fields else 0.0


def session_members(leader: int) -> list[int]:
    """Live processes of the session that `leader` opened, the leader included."""
    members = []
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            fields = _stat(int(entry.name))
            if fields and fields[0] not in "ZX" and int(fields[3]) == leader:
                members.append(int(entry.name))
    return members


def rss_kib(pid: int) -> int:
    try:
        return int((PROC / str(pid) / "statm").read_text().split()[1]) * PAGE_KIB
    except (OSError, IndexError):
        return 0


def pss_kib(pid: int) -> int:
    """Proportional set size: shared pages divided by those who share them. 0 where it may not be read."""
    try:
        lines = (PROC / str(pid) / "smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


def in_network_namespace(namespace: Path) -> list[int]:
    """Live processes whose network namespace is the one that `namespace` (a file below /run/netns) holds."""
    try:
        wanted = namespace.stat()
    except OSError:
        return []
    found = []
    for entry in PROC.iterdir():
        if not entry.name.isdigit():
            continue
        try:
            mine = (entry / "ns" / "net").stat()
        except OSError:
            continue
        if (mine.st_dev, mine.st_ino) == (wanted.st_dev, wanted.st_ino) and alive(int(entry.name)):
            found.append(int(entry.name))
    return found


def listens(pid: int, port: int) -> bool:
    """True when something in the process's network namespace listens on TCP `port`."""
    for table in ("tcp", "tcp6"):
        try:
            lines = (PROC / str(pid) / "net" / table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            columns = line.split()
            if columns[3] == LISTEN and int(columns[1].rpartition(":")[2], 16) == port:
                return True
    return False
