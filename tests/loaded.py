"""All tests are loaded by one process; those in which they run beside each other are forked from it.

    python -m tests.loaded DOOR PLACE…     loads what is at these places, then forks for everyone who comes to the door

It ends with its standard input. `tests/joins.py` is what xdist starts in place of a process: it comes to the door, and
hands over its own inputs and outputs."""

import contextlib
import fcntl
import os
import random
import select
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import preloaded

JOINS = Path(__file__).with_name("joins.py")


@contextlib.contextmanager
def loading(specs: Iterable[Any], config: pytest.Config, place: Path) -> Iterator[None]:
    """Within the block, processes that xdist starts come from one that loads all tests."""
    door = place / "door"
    for spec in specs:
        spec.python = f"{sys.executable} -S -E {JOINS} {door}"
    argv = [sys.executable, "-m", "tests.loaded", str(door), *config.args]
    with preloaded.serving(place) as openstack:
        env = {**os.environ, preloaded.NAMED: openstack}
        with subprocess.Popen(argv, cwd=config.rootpath, env=env, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL):
            yield


def main(door: str, *places: str) -> None:
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(door)
    listening.listen(64)
    # What fails to load is loaded, and told, once more by each that runs tests. Nothing may keep pytest's own outputs.
    pytest.main(["--collect-only", "-q", "-s", "-p", "no:cacheprovider", *places])
    children = 0
    while 0 not in select.select([listening.fileno(), 0], [], [])[0]:
        joined = listening.accept()[0]
        children += 1
        if os.fork() == 0:
            listening.close()
            _become(joined)
        joined.close()
    for _ in range(children):
        os.wait()


def _become(joined: socket.socket) -> None:
    """What the joining process was started as: execnet's first line on standard input says the rest."""
    _, descriptors, _, _ = socket.recv_fds(joined, 1, 3)
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    for what, value in ((fcntl.F_SETOWN, os.getpid()), (fcntl.F_SETSIG, signal.SIGKILL), (fcntl.F_SETFL, os.O_ASYNC)):
        fcntl.fcntl(joined, what, value)  # who ends the joining process ends this one
    random.seed()
    sys.argv = ["-c"]
    sys.stdin = os.fdopen(0, closefd=False)
    status = 1
    try:
        exec(eval(sys.stdin.readline()), {"__name__": "__main__"})
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        for output in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                output.flush()
        os._exit(status)


if __name__ == "__main__":
    main(*sys.argv[1:])
