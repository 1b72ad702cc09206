"""Of the processes in which tests run beside each other, the first loads all of them alone: what it compiles, the
others then find compiled. Importing this waits; `done` lets the others go on."""

import fcntl
import os

_TURN = os.open(__file__, os.O_RDONLY)


def _wait() -> None:
    try:
        fcntl.flock(_TURN, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        fcntl.flock(_TURN, fcntl.LOCK_SH)


def done() -> None:
    """Call once all tests are loaded."""
    fcntl.flock(_TURN, fcntl.LOCK_UN)


if "PYTEST_XDIST_WORKER" in os.environ:
    _wait()
