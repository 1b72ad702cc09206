"""An ASGI application that calls a WSGI one, for services whose requests may be large and slow.

A request's small body is read before a thread is taken, so that slow senders hold none. Large and chunked ones are
read by the thread as they come; they have threads of their own, so that uploads leave the others to everybody else."""

import asyncio
import contextvars
import sys
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from infra import http_bounds

Scope = dict[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

SMALL_BODY = 128 * 1024
PATIENCE_S = http_bounds.WRITE_S
"""How long a client may take to send or to accept the next part of a body."""


class Gone(OSError):
    """The client went away, or stalled, in the middle of a body. Never the same as the body's end."""


class Body:
    """`wsgi.input`: bytes read on a worker thread while the event loop receives them."""

    def __init__(self, first: bytes, complete: bool, receive: Callable[[], Message]) -> None:
        self._held, self._complete, self._receive = bytearray(first), complete, receive

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes, all of them when negative; empty at the end; raises Gone."""
        while not self._complete and (size < 0 or len(self._held) < size):
            self._more()
        return self._take(len(self._held) if size < 0 else size)

    def readline(self, size: int = -1) -> bytes:
        while b"\n" not in self._held and not self._complete and (size < 0 or len(self._held) < size):
            self._more()
        end = self._held.find(b"\n") + 1 or len(self._held)
        return self._take(end if size < 0 else min(end, size))

    def readlines(self, hint: int = -1) -> list[bytes]:
        return list(self)

    def __iter__(self) -> Any:
        return iter(self.readline, b"")

    def _more(self) -> None:
        message = self._receive()
        if message["type"] == "http.disconnect":
            raise Gone("the client went away")
        self._held += message.get("body", b"")
        self._complete = not message.get("more_body", False)

    def _take(self, size: int) -> bytes:
        taken = bytes(self._held[:size])
        del self._held[:size]
        return taken


class Bridge:
    """`app` on `threads` threads, and on `transfers` others while it reads a large body."""

    def __init__(self, app: App, threads: int, transfers: int) -> None:
        self._app = app
        self._small = ThreadPoolExecutor(threads, thread_name_prefix="request")
        self._large = ThreadPoolExecutor(transfers, thread_name_prefix="transfer")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        length, chunked = _framing(scope)
        loop = asyncio.get_running_loop()

        def wait(coroutine: Awaitable[Any]) -> Any:
            return asyncio.run_coroutine_threadsafe(_in_time(coroutine), loop).result()

        small = not chunked and length <= SMALL_BODY
        try:
            first = await _whole(receive) if small and length else b""
        except TimeoutError:
            await _too_slow(send)
            return
        if first is None:
            return
        body = Body(first, small, lambda: wait(receive()))
        answer = Answer(lambda message: wait(send(message)))
        pool = self._small if small else self._large
        around = contextvars.copy_context()  # the trace that the request belongs to
        await loop.run_in_executor(pool, around.run, self._respond, _environ(scope, body, length, chunked), answer)

    def _respond(self, environ: dict[str, Any], answer: "Answer") -> None:
        try:
            parts = self._app(environ, answer.start)
            try:
                for part in parts:
                    answer.write(part)
                answer.end()
            finally:
                getattr(parts, "close", lambda: None)()
        except (Gone, TimeoutError):
            return  # nobody is left to be answered


class Answer:
    """Collects status and headers, and keeps one part back, so that a short answer is one message's work."""

    def __init__(self, send: Callable[[Message], None]) -> None:
        self._send, self._status, self._headers = send, 0, list[tuple[bytes, bytes]]()
        self._started, self._held = False, b""

    def start(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], None]:
        if exc_info and self._started:
            raise exc_info[1].with_traceback(exc_info[2])
        self._status = int(status.split(" ", 1)[0])
        self._headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        return self.write

    def write(self, part: bytes) -> None:
        if not part:
            return
        if self._held:
            self._flush(more=True)
        self._held = part

    def end(self) -> None:
        self._flush(more=False)

    def _flush(self, *, more: bool) -> None:
        if not self._started:
            self._started = True
            self._send({"type": "http.response.start", "status": self._status, "headers": self._headers})
        held, self._held = self._held, b""
        self._send({"type": "http.response.body", "body": held, "more_body": more})


async def _in_time(work: Awaitable[Any]) -> Any:
    return await asyncio.wait_for(work, PATIENCE_S)


async def _whole(receive: Receive) -> bytes | None:
    """The body; None when the client went away before its end."""
    body = bytearray()
    while True:
        message = await asyncio.wait_for(receive(), PATIENCE_S)
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        if not message.get("more_body", False):
            return bytes(body)


async def _too_slow(send: Send) -> None:
    headers = [(b"content-length", b"0"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 408, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


def _framing(scope: Scope) -> tuple[int, bool]:
    """(content length, 0 without one; whether the body is chunked), which the server has checked already."""
    headers = dict(scope["headers"])
    return int(headers.get(b"content-length", 0)), b"transfer-encoding" in headers


def _environ(scope: Scope, body: Body, length: int, chunked: bool) -> dict[str, Any]:
    """PEP 3333's environment; `wsgi.input_terminated` tells that a chunked body ends by itself."""
    host, port = scope.get("server") or ("localhost", 80)
    environ: dict[str, Any] = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": "",
        "PATH_INFO": scope["path"].encode().decode("latin-1"),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "SERVER_NAME": host,
        "SERVER_PORT": str(port or 0),
        "REMOTE_ADDR": (scope.get("client") or ("", 0))[0],
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope["scheme"],
        "wsgi.input": body,
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for name, value in scope["headers"]:
        key = "HTTP_" + name.decode("latin-1").upper().replace("-", "_")
        key = {"HTTP_CONTENT_LENGTH": "CONTENT_LENGTH", "HTTP_CONTENT_TYPE": "CONTENT_TYPE"}.get(key, key)
        text = value.decode("latin-1")
        environ[key] = f"{environ[key]},{text}" if key in environ else text
    if not chunked and not length:
        environ["CONTENT_LENGTH"] = environ.get("CONTENT_LENGTH", "0")
    return environ
