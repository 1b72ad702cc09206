"""Keystone and Glance for tests, forked from a process that has loaded them: to load them is most of their start.

    python -m tests.preloaded DOOR      loads each when it is first asked for; ends with its standard input

A run whose processes are forked (`tests/loaded.py`) has one such process, named in the environment; any other test
process begins its own. The run's has the unmodified client besides, once for all."""

import contextlib
import functools
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

NAMED = "PRELOADED_FOR_TESTS"
PATIENCE_S = 60


class Preloaded:
    """`python -m workers.embedded ARGUMENTS…`, used as `subprocess.Popen` is; `log` gets what it says."""

    def __init__(self, arguments: list[str], log: Path) -> None:
        wanted = {"arguments": arguments, "environment": dict(os.environ)}
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as door, log.open("ab") as said:
            _come(door, os.environ.get(NAMED) or _own())
            socket.send_fds(door, [json.dumps(wanted).encode()], [said.fileno()])
            pid, (self._process,), _, _ = socket.recv_fds(door, 16, 1)
        self.pid = int(pid)

    def poll(self) -> int | None:
        """None while it runs; how it ended only its parent knows."""
        return 0 if select.select([self._process], [], [], 0)[0] else None

    def wait(self, timeout: float | None = None) -> int:
        if not select.select([self._process], [], [], timeout)[0]:
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
        return 0

    def send_signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._process, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def __del__(self) -> None:
        with contextlib.suppress(AttributeError, OSError):
            os.close(self._process)


def client(command: list[str], environment: dict[str, str], directory: Path) -> Path | None:
    """Where the run's one client is served, by the command and a door, as the first who asks wants it; None where each
    process begins its own."""
    if NAMED not in os.environ:
        return None
    wanted = {"arguments": ["client", *command], "environment": environment, "directory": str(directory)}
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as door:
        _come(door, os.environ[NAMED])
        door.sendall(json.dumps(wanted).encode())
        return Path(door.recv(1 << 10).decode())


@contextlib.contextmanager
def serving(place: Path) -> Iterator[str]:
    """Within the block, who comes to the door in `place` is served."""
    door = str(place / "preloaded")
    argv = [sys.executable, "-m", "tests.preloaded", door]
    with subprocess.Popen(argv, cwd=Path(__file__).parents[1], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL):
        yield door


@functools.cache
def _own() -> str:
    import atexit

    stack = contextlib.ExitStack()
    atexit.register(stack.close)
    place = stack.enter_context(tempfile.TemporaryDirectory(prefix="kilonova-preloaded-"))
    return stack.enter_context(serving(Path(place)))


def _come(door: socket.socket, where: str) -> None:
    begun = time.monotonic()
    while door.connect_ex(where):
        assert time.monotonic() < begun + PATIENCE_S, f"nobody serves {where}"
        time.sleep(0.05)  # it is about to begin


def main(door: str) -> None:
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listening.bind(door)
    listening.listen(64)
    doors: dict[str, socket.socket] = {}
    client: subprocess.Popen[bytes] | None = None
    while 0 not in select.select([listening.fileno(), 0], [], [])[0]:
        asked = listening.accept()[0]
        with asked:
            wanted, handed, _, _ = socket.recv_fds(asked, 1 << 20, 1)
            if not wanted:
                continue  # it came, and died before it asked
            service, *command = json.loads(wanted)["arguments"]
            if service == "client":
                about = json.loads(wanted)
                place: dict[str, Any] = {"env": about["environment"], "cwd": about["directory"]}
                client = client or subprocess.Popen([*command, f"{door}-client"], stdin=subprocess.DEVNULL, **place)
                asked.sendall(f"{door}-client".encode())
                continue
            if service not in doors:
                doors[service], theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                if os.fork() == 0:
                    for each in (listening, asked, *doors.values()):
                        each.close()
                    os.close(handed[0])
                    _load(service, theirs)
                theirs.close()
            socket.send_fds(doors[service], [wanted], [*handed, asked.fileno()])
            os.close(handed[0])
    if client:
        client.terminate()
        client.wait()
    for each in doors.values():
        each.close()
    for _ in doors:
        os.wait()


def _load(service: str, door: socket.socket) -> None:
    """Load the service, then fork it for each request that comes in; the last end of the door ends this."""
    import importlib

    from infra import lean
    from workers import embedded, settle

    os.close(0)
    os.open(os.devnull, os.O_RDONLY)
    settle.begin()
    lean.leave_out("pygments")
    importlib.import_module(f"infra.embedded.{service}").load()
    settle.settle()
    while True:
        wanted, handed, _, _ = socket.recv_fds(door, 1 << 20, 2)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        if not wanted:
            os._exit(0)
        said, asked = handed
        if (pid := os.fork()) == 0:
            door.close()
            os.close(asked)
            _become(json.loads(wanted), said, embedded.main)
        process = os.pidfd_open(pid)
        with socket.socket(fileno=asked) as answer, contextlib.suppress(OSError):
            socket.send_fds(answer, [str(pid).encode()], [process])
        os.close(process)
        os.close(said)


def _become(wanted: dict[str, object], said: int, serve: object) -> None:
    for output in (1, 2):
        os.dup2(said, output)
    os.close(said)
    os.environ.clear()
    os.environ.update(wanted["environment"])  # type: ignore[call-overload]
    status = 1
    try:
        serve(*wanted["arguments"])  # type: ignore[operator]
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    main(sys.argv[1])
