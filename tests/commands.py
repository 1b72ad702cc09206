"""`kilonova leaks` without its start: a process that has loaded it forks a child for each time that it is asked for.

Children have an environment and outputs of their own, as programs have. tests/cli tries the program itself."""

import functools
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from workers import settle

ROOT = Path(__file__).resolve().parents[1]
LOADED = (
    "workers.cli.main",
    "workers.cli.leaks",
    "infra.contracts.audit",
    "workflows.reconcile_cloud",
    "infra.temporal",
)
WIDE = "200"
"""Columns of what is printed, which are asked for when the command is loaded."""


def leaks(*flags: str, env: Mapping[str, str], timeout: float = 180) -> "subprocess.CompletedProcess[str]":
    """As `subprocess.run` of `kilonova leaks FLAGS…`."""
    argv = ["kilonova", "leaks", *flags]
    ours, its = socket.socketpair()
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err, ours:
        with its:
            wanted = json.dumps({"argv": argv, "environment": dict(env)}).encode()
            socket.send_fds(_server(), [wanted], [its.fileno(), out.fileno(), err.fileno()])
        ours.settimeout(timeout)
        try:
            code = ours.recv(1)
        except TimeoutError as error:
            raise subprocess.TimeoutExpired(argv, timeout) from error
        out.seek(0)
        err.seek(0)
        return subprocess.CompletedProcess(argv, code[0] if code else -signal.SIGKILL, out.read(), err.read())


@functools.cache
def _server() -> socket.socket:
    """Begun when the first command is asked for; it ends when this process does, whose end of the socket is closed."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with its:
        argv = [sys.executable, "-m", "tests.commands", str(its.fileno())]
        subprocess.Popen(argv, cwd=ROOT, env={**os.environ, "COLUMNS": WIDE}, pass_fds=[its.fileno()])
    return ours


def main(door: socket.socket) -> None:
    """Load it; then a child for each command that comes in."""
    settle.begin()
    for name in LOADED:
        importlib.import_module(name)
    settle.settle()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for a child: who asks is told by it
    while True:
        wanted, handed, _, _ = socket.recv_fds(door, 1 << 20, 3)
        if not wanted:
            return
        if os.fork() == 0:
            _be(json.loads(wanted), handed)
        for descriptor in handed:
            os.close(descriptor)


def _be(wanted: dict[str, object], handed: list[int]) -> NoReturn:
    """The command; tells how it ended."""
    from workers.cli.main import app

    told, *outputs = handed
    for number, descriptor in enumerate(outputs, start=1):
        os.dup2(descriptor, number)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.environ.clear()
    os.environ.update(wanted["environment"])  # type: ignore[call-overload]
    sys.argv = list(wanted["argv"])  # type: ignore[call-overload]
    try:
        app()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os.write(told, bytes([code & 255]))
    os._exit(0)


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])))
