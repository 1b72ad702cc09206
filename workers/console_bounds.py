"""What one visitor may take of the console proxy, which gives each connection a thread."""

import io
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

CONNECTIONS = 256
"""At once, of everybody; each holds a thread and up to three open files."""
PER_SCREEN = 8
"""Viewers of one guest."""
HEAD_S = 15.0
"""From an answer, or a new connection, to the end of the next request's headers: idle connections end by it too."""
HEAD_BYTES = 65_536
"""Request line and headers together."""
UNHEARD_MS = 90_000
"""After so long without a sign of the browser's machine a screen's connection ends; pings go out every 30 s."""


class Full(Exception):
    """As many have this screen open as may."""


class Seats:
    """Who is in: connections of the server, viewers of each screen."""

    def __init__(self) -> None:
        self._room = threading.BoundedSemaphore(CONNECTIONS)
        self._viewers: Counter[object] = Counter()
        self._lock = threading.Lock()

    def enter(self) -> bool:
        return self._room.acquire(blocking=False)

    def leave(self) -> None:
        self._room.release()

    @contextmanager
    def viewer(self, screen: object) -> Iterator[None]:
        """One of a screen's viewers, within the block. Full when there are PER_SCREEN."""
        with self._lock:
            if self._viewers[screen] >= PER_SCREEN:
                raise Full
            self._viewers[screen] += 1
        try:
            yield
        finally:
            with self._lock:
                self._viewers[screen] -= 1
                self._viewers += Counter()  # forgets screens that nobody looks at


class Head(io.BufferedIOBase):
    """A request's head, read from `file`, no longer than HEAD_BYTES and HEAD_S; ConnectionAbortedError beyond the
    first, the end of the stream beyond the second."""

    def __init__(self, file: io.BufferedIOBase, connection: socket.socket) -> None:
        self._file, self._connection, self._left = file, connection, HEAD_BYTES
        self._timer: threading.Timer | None = None

    def begin(self) -> None:
        self._left = HEAD_BYTES
        self._timer = threading.Timer(HEAD_S, self._cut)
        self._timer.daemon = True
        self._timer.start()

    def end(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _cut(self) -> None:
        try:
            self._connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # it is gone already

    def readline(self, size: int | None = -1, /) -> bytes:
        line = self._file.readline(-1 if size is None else size)
        self._left -= len(line)
        if self._left < 0:
            raise ConnectionAbortedError("the head is too long")
        return line

    def read(self, size: int | None = -1, /) -> bytes:
        return self._file.read(size)

    def close(self) -> None:
        self._file.close()
