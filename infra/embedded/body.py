"""A request's body between the event loop, which receives it, and the thread that reads it.

The loop receives ahead of the thread, so that what a client sends comes in while what it sent is hashed and written."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from queue import SimpleQueue
from typing import Any

from infra import http_bounds

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]

AHEAD = 1 << 20
"""Bytes that are received, and not yet asked for, when the loop stops receiving; it goes on at half of them."""
PATIENCE_S = http_bounds.WRITE_S
"""How long a client may take to send or to accept the next part of a body."""


class Gone(OSError):
    """The client went away, or stalled, in the middle of a body. Never the same as the body's end."""


class Ahead:
    """Receives from the moment at which the thread first asks: a client that waits for `100 Continue` gets it then.

    Made, and closed, on the loop. Each count has one writer, and the thread gives room only where the loop said that
    it needs some: that keeps locks out of it."""

    def __init__(self, receive: Receive) -> None:
        self._receive, self._loop = receive, asyncio.get_running_loop()
        self._came: SimpleQueue[bytes | Exception | None] = SimpleQueue()
        self._received = self._taken = 0
        self._room, self._full = asyncio.Event(), False
        self._asked = self._closed = False
        self._work: asyncio.Task[None] | None = None

    def next(self) -> bytes | None:
        """On the thread: what came next, None after the end. Raises Gone, and TimeoutError for a client that stalls."""
        if not self._asked:
            self._asked = True
            self._loop.call_soon_threadsafe(self._begin)
        came = self._came.get()
        if isinstance(came, Exception):
            self._came.put(came)  # whoever asks again hears it again
            raise came
        self._taken += len(came or b"")
        if self._full and self._received - self._taken <= AHEAD // 2:
            self._full = False
            self._loop.call_soon_threadsafe(self._room.set)
        return came

    def close(self) -> None:
        """Whoever still waits is told that the client is gone."""
        self._closed = True
        if self._work is not None:
            self._work.cancel()
        self._came.put(Gone("the request is over"))

    def _begin(self) -> None:
        if not self._closed:
            self._work = self._loop.create_task(self._receive_all())

    async def _receive_all(self) -> None:
        try:
            more = True
            while more:
                async with asyncio.timeout(PATIENCE_S):
                    message = await self._receive()
                if message["type"] == "http.disconnect":
                    raise Gone("the client went away")
                body, more = message.get("body", b""), message.get("more_body", False)
                self._received += len(body)
                self._came.put(body)
                await self._make_room()
            self._came.put(None)
        except Exception as error:
            self._came.put(error)

    async def _make_room(self) -> None:
        while self._received - self._taken > AHEAD:
            self._room.clear()
            self._full = True
            if self._received - self._taken > AHEAD // 2:  # else the thread took it before it saw that room is needed
                await self._room.wait()


class Body:
    """`wsgi.input`: `first`, and what `more` gives until it gives None."""

    def __init__(self, first: bytes, more: Callable[[], bytes | None]) -> None:
        self._pieces, self._at, self._size = deque[bytes](), 0, 0
        self._next, self._complete = more, False
        self._add(first)

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes, all of them when negative; empty at the end; raises Gone."""
        while (size < 0 or self._size < size) and self._more():
            pass
        return self._take(self._size if size < 0 else min(size, self._size))

    def readline(self, size: int = -1) -> bytes:
        length = number = 0
        while size < 0 or length < size:
            if number == len(self._pieces):
                if not self._more():
                    break
                continue
            piece, at = self._pieces[number], 0 if number else self._at
            end = piece.find(b"\n", at) + 1 or len(piece)
            length, number = length + end - at, number + 1
            if piece[end - 1] == 10:
                break
        return self._take(length if size < 0 else min(length, size))

    def readlines(self, hint: int = -1) -> list[bytes]:
        return list(self)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.readline, b"")

    def _more(self) -> bool:
        """Whether there was more; it may have been nothing."""
        came = None if self._complete else self._next()
        self._complete = came is None
        self._add(came or b"")
        return not self._complete

    def _add(self, piece: bytes) -> None:
        if piece:
            self._pieces.append(piece)
            self._size += len(piece)

    def _take(self, size: int) -> bytes:
        """The next `size` bytes, of those that are here."""
        taken: list[bytes | memoryview] = []
        self._size -= size
        while size:
            piece = self._pieces[0]
            end = min(self._at + size, len(piece))
            taken.append(memoryview(piece)[self._at : end] if end - self._at < len(piece) else piece)
            size, self._at = size - (end - self._at), end
            if end == len(piece):
                self._pieces.popleft()
                self._at = 0
        return b"".join(taken)
