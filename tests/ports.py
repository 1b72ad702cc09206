"""Ports that nobody listens on, for a cloud of a test's own."""

import random
import socket

from infra.settings import PORTS


def free_offset() -> int:
    """A port offset at which every port of a cloud is free, below the range that outgoing connections use."""
    while True:
        offset = random.randrange(100, 220) * 100
        if not any(_listens(port + offset) for port in PORTS.values()):
            return offset


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
