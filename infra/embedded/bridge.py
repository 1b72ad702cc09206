"""An ASGI application that calls a WSGI one, for services whose requests may be large and slow.

A request's small body is read before a thread is taken, so that slow senders hold none. Large and chunked ones are
handed to the thread as they come, on threads of their own, so that uploads leave the others to everybody else."""

import asyncio
import contextvars
import sys
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from infra.embedded import body as bodies
from infra.embedded.body import Ahead, Body, Gone, Message, Receive

Scope = dict[str, Any]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

SMALL_BODY = 128 * 1024


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
        ahead = None if small else Ahead(receive)
        body = Body(first, ahead.next if ahead else lambda: None)
        answer = Answer(lambda message: wait(send(message)))
        pool = self._small if small else self._large
        around = contextvars.copy_context()  # the trace that the request belongs to
        try:
            await loop.run_in_executor(pool, around.run, self._respond, _environ(scope, body, length, chunked), answer)
        finally:
            if ahead:
                ahead.close()

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
    return await asyncio.wait_for(work, bodies.PATIENCE_S)


async def _whole(receive: Receive) -> bytes | None:
    """The body; None when the client went away before its end."""
    body = bytearray()
    while True:
        message = await asyncio.wait_for(receive(), bodies.PATIENCE_S)
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
