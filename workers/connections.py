"""Connections of the HTTP services with bounds: nobody holds one without sending, or sends without end."""

import asyncio
import resource
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from infra import http_bounds

SPARE_FILES = 256
"""Databases, logs, libraries, connections to other services."""
MOST_FILES = 65_536


def raise_open_files() -> int:
    """Let this process open as many files as it may, 65,536 at most; how many that is."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted


def connections_of(services: int) -> int:
    """How many connections each of several services in one process may hold, by the files that it may open."""
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return http_bounds.CONNECTIONS
    return max(16, min(http_bounds.CONNECTIONS, (soft - SPARE_FILES) // services))


class Bounded(HttpToolsProtocol):
    """A connection that is closed when its next request's head is late or too large, when its client sends on after
    the answer or does not take the answer. When the service holds as many as it may, the one that has waited longest
    without a complete request makes room for the new one; if none waits, the new one is closed."""

    most = http_bounds.CONNECTIONS

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._waits = True  # for the end of a request's head
        self._head_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None
        self._linger_timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)  # type: ignore[arg-type]
        self._head_timer = self.loop.call_later(http_bounds.HEAD_S, self._end)
        if len(self.connections) > self.most:
            self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._head_timer, self._linger_timer, self._write_timer):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._waits:
            self._head_bytes += len(data)
            if self._head_timer is None:
                self._head_timer = self.loop.call_later(http_bounds.HEAD_S, self._end)
        super().data_received(data)
        if self._waits and self._head_bytes > http_bounds.HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response("The request's headers are too large.")

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self._waits, self._head_bytes = False, 0
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        if len(self.pipeline) > http_bounds.PIPELINED:
            self._end()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._waits = True
        if self._linger_timer is not None:
            self._linger_timer.cancel()
            self._linger_timer = None

    def on_response_complete(self) -> None:
        unread = not self._waits
        super().on_response_complete()
        if unread and not self.transport.is_closing():
            self._linger_timer = self.loop.call_later(http_bounds.LINGER_S, self._end)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._write_timer = self.loop.call_later(http_bounds.WRITE_S, self._abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    def _make_room(self) -> None:
        waiting = (each for each in self.connections if isinstance(each, Bounded) and each.idle and each is not self)
        oldest = min(waiting, key=lambda each: each.deadline, default=self)
        oldest._abort()

    @property
    def idle(self) -> bool:
        """No request of it is being answered."""
        return self._waits and (self.cycle is None or self.cycle.response_complete)

    @property
    def deadline(self) -> float:
        """When it is closed if nothing comes, in seconds of the loop's clock."""
        timer = self._head_timer or self.timeout_keep_alive_task
        return timer.when() if timer is not None else 0.0

    def _end(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()

    def _abort(self) -> None:
        self.connections.discard(self)
        self.transport.abort()
