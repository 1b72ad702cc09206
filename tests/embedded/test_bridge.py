"""The bridge from ASGI to WSGI: bodies of every framing, clients that go away, answers of every length."""

import asyncio
import threading
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from infra.embedded import body
from infra.embedded.body import Gone
from infra.embedded.bridge import Bridge

Message = dict[str, Any]


def scope(headers: dict[str, str], method: str = "PUT", path: str = "/a/é") -> Message:
    pairs = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    return {"type": "http", "method": method, "path": path, "query_string": b"x=%C3%A9&y=\xe9", "http_version": "1.1",
            "scheme": "http", "server": ("127.0.0.1", 9292), "client": ("127.0.0.1", 1), "headers": pairs}  # fmt: skip


async def talk(app: Any, headers: dict[str, str], *parts: Message) -> list[Message]:
    """What the application answers to a request that comes in these parts."""
    sent: list[Message] = []
    waiting = list(parts)

    async def receive() -> Message:
        return waiting.pop(0) if waiting else {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    await Bridge(app, 2, 2)(scope(headers), receive, send)
    return sent


def part(body: bytes, more: bool) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


def echo(environ: Message, start: Callable[..., Any]) -> Iterable[bytes]:
    body = environ["wsgi.input"].read()
    start("200 OK", [("Content-Type", "text/plain"), ("X-Length", environ.get("CONTENT_LENGTH", "none"))])
    return [body]


@pytest.mark.parametrize(
    ("headers", "length"),
    [
        ({"content-length": "4"}, b"4"),
        ({"content-length": "999999"}, b"999999"),
        ({"transfer-encoding": "chunked"}, b"none"),
    ],
)
async def test_a_body_arrives_whole(headers: dict[str, str], length: bytes) -> None:
    start, end = await talk(echo, headers, part(b"ab", True), part(b"cd", False))
    assert start["status"] == 200 and (b"x-length", length) in start["headers"]
    assert (end["body"], end["more_body"]) == (b"abcd", False)


@pytest.mark.parametrize("headers", [{"content-length": "999999"}, {"transfer-encoding": "chunked"}])
async def test_a_client_that_goes_away_is_no_end_of_its_body(headers: dict[str, str]) -> None:
    seen: list[object] = []

    def app(environ: Message, start: Callable[..., Any]) -> Iterable[bytes]:
        try:
            while piece := environ["wsgi.input"].read(2):
                seen.append(piece)
            seen.append("end")
        except Gone as error:
            seen.append(type(error))
            raise
        return [b""]

    assert await talk(app, headers, part(b"abcd", True)) == []
    assert seen == [b"ab", b"cd", Gone]


async def test_a_small_body_that_breaks_off_reaches_nobody() -> None:
    def app(environ: Message, start: Callable[..., Any]) -> Iterable[bytes]:
        raise AssertionError("called")

    assert await talk(app, {"content-length": "4"}, part(b"ab", True)) == []


async def test_a_body_that_stalls_gets_408(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body, "PATIENCE_S", 0.05)
    sent: list[Message] = []

    async def never() -> Message:
        await asyncio.sleep(60)
        raise AssertionError

    async def send(message: Message) -> None:
        sent.append(message)

    await Bridge(echo, 1, 1)(scope({"content-length": "4"}), never, send)
    assert sent[0]["status"] == 408


async def test_lines_and_the_environment() -> None:
    found: Message = {}

    def app(environ: Message, start: Callable[..., Any]) -> Iterable[bytes]:
        found.update(environ, lines=[environ["wsgi.input"].readline(1), *environ["wsgi.input"].readlines()])
        start("204 No Content", [])
        return []

    (start, end) = await talk(app, {"content-length": "6", "x-a": "1", "x-b": "ü"}, part(b"a\nb\ncd", False))
    assert found["lines"] == [b"a", b"\n", b"b\n", b"cd"]
    assert found["PATH_INFO"] == "/a/é".encode().decode("latin-1") and found["QUERY_STRING"] == "x=%C3%A9&y=é"
    assert (found["HTTP_X_A"], found["HTTP_X_B"], found["CONTENT_LENGTH"]) == ("1", "ü", "6")
    assert (start["status"], end["body"]) == (204, b"")


async def test_long_answers_are_sent_as_they_come_and_closed() -> None:
    class Parts:
        closed = False

        def __iter__(self) -> Any:
            return iter([b"one", b"", b"two", b"three"])

        def close(self) -> None:
            self.closed = True

    parts = Parts()

    def app(environ: Message, start: Callable[..., Any]) -> Iterable[bytes]:
        start("200 OK", [("Set-Cookie", "a"), ("Set-Cookie", "b")])
        return parts

    start, *bodies = await talk(app, {})
    assert start["headers"] == [(b"set-cookie", b"a"), (b"set-cookie", b"b")]
    assert [(each["body"], each["more_body"]) for each in bodies] == [(b"one", True), (b"two", True), (b"three", False)]
    assert parts.closed


async def test_uploads_leave_the_other_threads_alone() -> None:
    going = asyncio.Event()

    def app(environ: Message, start: Callable[..., Any]) -> Iterable[bytes]:
        environ["wsgi.input"].read()
        start("200 OK", [])
        return [b"done"]

    served, loop = Bridge(app, 1, 1), asyncio.get_running_loop()

    async def held() -> Message:
        await going.wait()
        return part(b"", False)

    async def none() -> Message:
        return part(b"", False)

    answers: dict[str, list[Message]] = {"upload": [], "small": []}

    def sender(name: str) -> Any:
        async def send(message: Message) -> None:
            answers[name].append(message)

        return send

    upload = loop.create_task(served(scope({"transfer-encoding": "chunked"}), held, sender("upload")))
    await asyncio.wait_for(served(scope({}), none, sender("small")), 5)
    assert answers["small"] and not answers["upload"]
    going.set()
    await asyncio.wait_for(upload, 5)
    assert answers["upload"]


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(0.01)


class Sender:
    """A client that sends pieces of 256 KiB without an end, each when it is asked for."""

    def __init__(self, pieces: int) -> None:
        self.asked, self._pieces = 0, pieces

    async def receive(self) -> Message:
        self.asked += 1
        return part(bytes([self.asked % 256]) * PIECE, self.asked < self._pieces)


PIECE = 1 << 18
MANY = 5 * body.AHEAD // PIECE


async def test_a_body_is_received_ahead_of_its_reader_and_not_without_bound() -> None:
    client, read, go, out = Sender(MANY), threading.Event(), threading.Event(), list[Message]()
    got = bytearray()

    def app(environ: Message, start: Callable[..., Any]) -> Iterable[bytes]:
        read.wait(10)
        got.extend(environ["wsgi.input"].read(1))
        go.wait(10)
        while piece := environ["wsgi.input"].read(PIECE - 7):
            got.extend(piece)
        start("204 No Content", [])
        return []

    async def send(message: Message) -> None:
        out.append(message)

    served = asyncio.create_task(Bridge(app, 1, 1)(scope({"transfer-encoding": "chunked"}), client.receive, send))
    await asyncio.sleep(0.1)
    assert client.asked == 0, (
        "a client that waits for 100 Continue would have got it before it was known whether it may"
    )
    read.set()
    await until(lambda: client.asked * PIECE > body.AHEAD)
    await asyncio.sleep(0.1)
    assert client.asked * PIECE <= body.AHEAD + 2 * PIECE
    go.set()
    await asyncio.wait_for(served, 10)
    assert out[0]["status"] == 204
    assert got == b"".join(bytes([number % 256]) * PIECE for number in range(1, MANY + 1))


async def test_who_reads_on_after_the_client_went_away_is_told_again() -> None:
    seen: list[str] = []

    def app(environ: Message, start: Callable[..., Any]) -> Iterable[bytes]:
        for _ in range(2):
            try:
                environ["wsgi.input"].read()
            except Gone as gone:
                seen.append(str(gone))
        raise Gone

    await asyncio.wait_for(talk(app, {"transfer-encoding": "chunked"}, part(b"ab", True)), 5)
    assert seen == ["the client went away"] * 2


async def test_a_large_body_that_stalls_ends_its_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body, "PATIENCE_S", 0.05)
    sent: list[Message] = []

    async def never() -> Message:
        await asyncio.sleep(60)
        raise AssertionError

    async def send(message: Message) -> None:
        sent.append(message)

    await asyncio.wait_for(Bridge(echo, 1, 1)(scope({"transfer-encoding": "chunked"}), never, send), 5)
    assert sent == []


async def test_a_request_that_is_given_up_frees_its_thread() -> None:
    ended = threading.Event()

    def app(environ: Message, start: Callable[..., Any]) -> Iterable[bytes]:
        try:
            environ["wsgi.input"].read()
        finally:
            ended.set()
        return []

    async def never() -> Message:
        await asyncio.sleep(60)
        raise AssertionError

    async def send(message: Message) -> None:
        raise AssertionError

    headers = {"transfer-encoding": "chunked"}
    request = asyncio.create_task(Bridge(app, 1, 1)(scope(headers), never, send))
    await asyncio.sleep(0.1)
    request.cancel()
    await until(ended.is_set)
    assert len(asyncio.all_tasks()) == 1, "something still receives"


async def test_a_body_that_nobody_reads_is_left() -> None:
    client, sent = Sender(1), list[Message]()

    def app(environ: Message, start: Callable[..., Any]) -> Iterable[bytes]:
        start("401 Unauthorized", [])
        return []

    async def send(message: Message) -> None:
        sent.append(message)

    await Bridge(app, 1, 1)(scope({"transfer-encoding": "chunked"}), client.receive, send)
    assert sent[0]["status"] == 401 and client.asked == 0


async def test_lines_over_several_pieces() -> None:
    found: list[bytes] = []

    def app(environ: Message, start: Callable[..., Any]) -> Iterable[bytes]:
        found.extend([environ["wsgi.input"].readline(2), environ["wsgi.input"].read(2)])
        found.extend(environ["wsgi.input"].readlines())
        start("204 No Content", [])
        return []

    pieces = part(b"ab", True), part(b"cde", True), part(b"", True), part(b"f\ng\n", True), part(b"h", False)
    await talk(app, {"transfer-encoding": "chunked"}, *pieces)
    assert found == [b"ab", b"cd", b"ef\n", b"g\n", b"h"]
