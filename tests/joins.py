"""Stands for a process that `tests.loaded` forks with this one's inputs and outputs; ends when that one does."""

import contextlib
import os
import socket
import sys
import time

PATIENCE_S = 60


def main(door: str) -> None:
    begun, forked = time.monotonic(), socket.socket(socket.AF_UNIX)
    while forked.connect_ex(door) and time.monotonic() < begun + PATIENCE_S:
        time.sleep(0.05)  # it is about to begin
    socket.send_fds(forked, [b"."], [0, 1, 2])
    for descriptor in (0, 1):
        os.close(descriptor)
    with contextlib.suppress(ConnectionResetError):
        forked.recv(1)


if __name__ == "__main__":
    main(sys.argv[1])
