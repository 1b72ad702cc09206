"""Requests that no HTTP library would send: bytes on a socket, and what comes back.

Thousands in turn are sent this way as well: httpx takes as much of the processor as the service that it asks."""

import json
import socket
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """Asks a service of this machine, on one connection for as long as the service keeps it."""

    def __init__(self, port: int) -> None:
        self._port, self._connection = port, connect(port)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def ask(self, method: str, path: str, headers: dict[str, bytes], body: bytes | None = None) -> Reply:
        """`headers` go as they are; those that every client sends are added."""
        given = {"host": b"127.0.0.1:%d" % self._port, "accept": b"*/*", "connection": b"keep-alive", **headers}
        if body is not None or method in ("POST", "PUT", "PATCH"):
            given["content-length"] = b"%d" % len(body or b"")
        lines = [f"{method} {path} HTTP/1.1".encode("ascii")]
        lines += [name.encode("ascii") + b": " + value for name, value in given.items()]
        data = b"\r\n".join(lines) + b"\r\n\r\n" + (body or b"")
        try:
            answer = self._exchange(method, data)
        except ConnectionError:  # the service may end a connection between two requests
            self._again()
            answer = self._exchange(method, data)
        if answer.headers.get("connection", "").lower() == "close":
            self._again()
        return answer

    def _exchange(self, method: str, data: bytes) -> Reply:
        self._connection.sendall(data)
        answer = reply(self._connection, bodiless=method == "HEAD")
        assert "transfer-encoding" not in answer.headers
        return answer

    def _again(self) -> None:
        self._connection.close()
        self._connection = connect(self._port)


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=15)


def head(method: str, path: str, **headers: str) -> bytes:
    """The head of a request; underscores of names become hyphens."""
    lines = [f"{method} {path} HTTP/1.1", "Host: anything"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def reply(connection: socket.socket, bodiless: bool = False) -> Reply:
    """The next answer, `bodiless` to a HEAD; ConnectionError when the other side closes instead."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += _more(connection)
    text, _, body = data.partition(b"\r\n\r\n")
    first, *lines = text.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    while not bodiless and len(body) < int(headers.get("content-length", "0")):
        body += _more(connection)
    return Reply(int(first.split()[1]), headers, body)


def closed(connection: socket.socket) -> bool:
    """Whether the other side has ended the connection."""
    try:
        return connection.recv(1) == b""
    except ConnectionError:
        return True


def _more(connection: socket.socket) -> bytes:
    data = connection.recv(65536)
    if not data:
        raise ConnectionError("closed")
    return data
