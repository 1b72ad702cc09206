"""Ports that nobody listens on, for a cloud of a test's own."""

import contextlib
import fcntl
import os
import random
import socket
import tempfile
from pathlib import Path

from infra.settings import PORTS

OWN = 12  # so many offsets a process keeps; then it takes its own ones again
_taken: dict[int, int] = {}  # offset -> descriptor, whose lock ends with this process


def free_offset() -> int:
    """A port offset at which every port of a cloud is free, below the range that outgoing connections use. It stays
    this process's own, so that tests which run beside each other never get the same one."""
    while True:
        offset = random.choice(list(_taken)) if len(_taken) >= OWN else random.randrange(100, 220) * 100
        if _takes(offset) and not any(_listens(port + offset) for port in PORTS.values()):
            return offset


def _takes(offset: int) -> bool:
    if offset in _taken:
        return True
    place = Path(tempfile.gettempdir()) / "kilonova-test-ports"
    place.mkdir(exist_ok=True)
    lock = os.open(place / str(offset), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return False
    _taken[offset] = lock
    return True


def free_port() -> int:
    """A port that nobody has, below those of clouds and of outgoing connections."""
    while True:
        port = random.randrange(10000, 15000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
