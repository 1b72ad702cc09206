"""The bridge from ASGI to WSGI: bodies of every framing, clients that go away, answers of every length."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from infra.embedded import bridge
from infra.embedded.bridge import Bridge, Gone

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
    monkeypatch.setattr(bridge, "PATIENCE_S", 0.05)
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
