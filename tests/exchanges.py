"""Stands around a service: an exchange that its judge finds fault with is answered 555, with the fault as its text."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

VIOLATION = 555


@dataclass(frozen=True)
class Exchange:
    """`headers` are the answer's, in lower case. `asked` and `answered` are whole bodies."""

    scope: Scope
    status: int
    headers: dict[str, str]
    asked: bytes
    answered: bytes


Judge = Callable[[Exchange], str]
"""What is wrong, in one line; '' when nothing is."""


async def judged(app: ASGIApp, scope: Scope, receive: Receive, send: Send, judge: Judge) -> None:
    asked, answer = bytearray(), bytearray()
    start: Message = {}

    async def hear() -> Message:
        message = await receive()
        asked.extend(message.get("body", b""))
        return message

    async def check(message: Message) -> None:
        if message["type"] == "http.response.start":
            start.update(message)
            return
        answer.extend(message.get("body", b""))
        if message.get("more_body"):
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in start["headers"]}
        body = bytes(answer)
        if wrong := judge(Exchange(scope, start["status"], headers, bytes(asked), body)):
            body = f"CONTRACT {scope['method']} {scope['path']} {wrong}".encode()
            start["status"] = VIOLATION
            start["headers"] = [(b"content-type", b"text/plain"), (b"content-length", str(len(body)).encode()),
                                (b"x-openstack-request-id", b"req-contract")]  # fmt: skip
            print(body.decode(), flush=True)
        await send(start)
        await send({"type": "http.response.body", "body": body})

    await app(scope, hear, check)


def parsed(text: bytes) -> Any:
    try:
        return json.loads(text) if text else None
    except (ValueError, RecursionError):
        return f"not JSON: {text[:60]!r}"
