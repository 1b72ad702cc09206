"""Requests that no HTTP library would send: bytes on a socket, and what comes back."""

import socket
from dataclasses import dataclass


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=15)


def head(method: str, path: str, **headers: str) -> bytes:
    """The head of a request; underscores of names become hyphens."""
    lines = [f"{method} {path} HTTP/1.1", "Host: anything"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def reply(connection: socket.socket) -> Reply:
    """The next answer; ConnectionError when the other side closes instead."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += _more(connection)
    text, _, body = data.partition(b"\r\n\r\n")
    first, *lines = text.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    while len(body) < int(headers.get("content-length", "0")):
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
