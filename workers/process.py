"""One supervised process: started as a session leader, found again by its PID file, stopped with all its children."""

import os
import select
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from workers import procfs
from workers.probes import Probe

MARK = "KILONOVA_UNIT"
"""Environment variable that tells a process of ours from one that was given the same PID later."""
WRITE_PID = 'printf "%-9s\\n" $$ 1<>"$0" && exec "$@"'
"""The process writes its PID file itself, before it becomes what it shall be: no moment without one. Over the old one,
in one write of always the same length, which needs no room on a full disk."""


@dataclass(frozen=True)
class Spec:
    """What to run. `after`: names that are stopped later than this one; `awaits`: those of them that must be ready
    before it starts; `on_stop`: command run before it is ended; `ports`: what it listens on, for people."""

    name: str
    argv: list[str]
    env: dict[str, str] = field(default_factory=dict)
    after: list[str] = field(default_factory=list)
    awaits: list[str] = field(default_factory=list)
    probe: Probe = field(default_factory=Probe)
    on_stop: list[str] = field(default_factory=list)
    ports: dict[str, int] = field(default_factory=dict)
    stop_grace_s: float = 8.0
    umask: int = 0o022  # not the one of whoever typed `up`: QEMU and dnsmasq, other users, read some of what we write


@dataclass(frozen=True)
class Place:
    """Directories and common environment of one cloud's processes."""

    run: Path
    log: Path
    env: Mapping[str, str]

    def pid_file(self, name: str) -> Path:
        return self.run / f"{name}.pid"

    def log_file(self, name: str) -> Path:
        return self.log / f"{name}.log"

    def mark(self, name: str) -> str:
        return f"{self.run.resolve()}/{name}"


class Process:
    """A running process, ours or one that an earlier supervisor started."""

    def __init__(self, pid: int, pidfd: int, child: "subprocess.Popen[bytes] | None" = None) -> None:
        self.pid, self._pidfd, self._child = pid, pidfd, child

    @classmethod
    def start(cls, spec: Spec, place: Place) -> "Process":
        """Runs `spec` in a new session, output appended to its log (mode 0600); OSError when that fails."""
        log = os.open(place.log_file(spec.name), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            child = subprocess.Popen(
                ["/bin/sh", "-c", WRITE_PID, str(place.pid_file(spec.name)), *spec.argv],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**place.env, **spec.env, MARK: place.mark(spec.name)},
                start_new_session=True,
                cwd="/",
                umask=spec.umask,
            )
        finally:
            os.close(log)
        return cls(child.pid, os.pidfd_open(child.pid), child)

    @classmethod
    def find(cls, name: str, place: Place) -> "Process | None":
        """The process that the PID file names, if it is still ours (a PID may have been given out anew)."""
        try:
            pid = int(place.pid_file(name).read_text())
            pidfd = os.pidfd_open(pid)
        except (OSError, ValueError):
            return None
        try:
            environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        except OSError:
            environment = []
        if f"{MARK}={place.mark(name)}".encode() in environment and procfs.alive(pid):
            return cls(pid, pidfd)
        os.close(pidfd)
        return None

    def ended(self, timeout_s: float | None) -> bool:
        """True once the process is gone; False after `timeout_s` (None waits for ever)."""
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)
        if not poll.poll(None if timeout_s is None else int(timeout_s * 1000)):
            return False
        if self._child is not None:
            self._child.wait()
        return True

    @property
    def exit_code(self) -> int | None:
        """The exit status, negative for a signal; None while it runs or when it was no child of ours."""
        return self._child.returncode if self._child is not None else None

    def signal(self, number: int) -> None:
        try:
            signal.pidfd_send_signal(self._pidfd, number)
        except ProcessLookupError:
            return

    def stop(self, grace_s: float) -> None:
        """SIGTERM; after `grace_s` SIGKILL; then whatever is left of its session is killed as well."""
        self.signal(signal.SIGTERM)
        if not self.ended(grace_s):
            self.signal(signal.SIGKILL)
            self.ended(5.0)
        end_session(self.pid)

    def close(self) -> None:
        os.close(self._pidfd)


def end_session(leader: int) -> None:
    """Kill what remains of a session whose leader is gone. Daemons that opened their own session are not in it."""
    for _ in range(50):
        members = procfs.session_members(leader)
        if not members:
            return
        for pid in members:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.02)
