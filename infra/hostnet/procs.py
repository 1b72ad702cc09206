"""Processes that belong to a host's network and outlive the worker: found, started apart from us, ended."""

import contextlib
import os
import select
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

from infra.hostnet.netns import HostNetworkError

READY_S = 5.0
READY = "READY"
CODE = str(Path(__file__).resolve().parents[2])


def commands() -> Iterator[tuple[int, list[str]]]:
    """Process id and words of the command line of every process."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
                if words[0]:
                    yield int(entry.name), words


def is_daemon(pid: int) -> bool:
    """Whether it has left the session of whoever started it: the one that opened its own is gone."""
    with contextlib.suppress(OSError):
        session = os.getsid(pid)
        return session != pid and not _lives(session)
    return False


def _lives(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


def end(pid: int) -> None:
    """End a process that may not be our child, and wait until it is gone."""
    with contextlib.suppress(ProcessLookupError):
        fd = os.pidfd_open(pid)
        try:
            for number in (signal.SIGTERM, signal.SIGKILL):
                signal.pidfd_send_signal(fd, number)
                poll = select.poll()
                poll.register(fd, select.POLLIN)
                if poll.poll(3000):
                    return
        finally:
            os.close(fd)


def detach(command: list[str], log: Path) -> None:
    """Start a process that is nobody's child, with its output in `log`.

    It writes to the descriptor that stands for READY in its command when it serves; HostNetworkError when it does not
    within READY_S."""
    reader, writer = os.pipe()
    words = ["setsid", "--fork", *(word.replace(READY, str(writer)) for word in command)]
    try:
        with log.open("ab") as out, os.fdopen(writer, "wb"):
            done = subprocess.run(
                words, stdin=subprocess.DEVNULL, stdout=out, stderr=out, pass_fds=[writer], cwd=CODE, check=False
            )
        if done.returncode != 0:
            raise HostNetworkError(f"{command[0]} cannot be started")
        if not (select.select([reader], [], [], READY_S)[0] and os.read(reader, 1)):
            raise HostNetworkError(f"{command[-1]} does not serve: {log.read_text()[-300:]}")
    finally:
        os.close(reader)
