"""Whoever guesses a password waits for each answer, whosever password it is.

Keystone pauses an account after ten wrong passwords, but not the administrator's and the services' own, by which a
stranger could stop the cloud. Of these, too, a further guess is answered late; the right password never is. No thread
of Keystone's waits meanwhile."""

import asyncio
import json
import time
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable
from typing import Any

FREE = 10
"""Wrong passwords of one user within WINDOW_S, after which each further one costs DELAY_S."""
WINDOW_S, DELAY_S = 60.0, 3.0
USERS = 10_000
"""Of whom failures are remembered; the oldest are forgotten."""
BODY = 128 * 1024

Message = dict[str, Any]
App = Callable[..., Awaitable[None]]


class LateAnswers:
    """ASGI, around Keystone."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()

    async def __call__(self, scope: Message, receive: Callable[..., Any], send: Callable[..., Any]) -> None:
        if scope["type"] != "http" or scope["method"] != "POST" or not scope["path"].endswith("/auth/tokens"):
            await self._app(scope, receive, send)
            return
        body, kept = bytearray(), list[Message]()

        async def heard() -> Message:
            message: Message = await receive()
            if len(body) < BODY:
                body.extend(message.get("body", b""))
            return message

        async def said(message: Message) -> None:
            if kept or message.get("status") == 401:
                kept.append(message)
            else:
                await send(message)

        await self._app(scope, heard, said)
        if kept:
            await asyncio.sleep(self._delay(_user(bytes(body))))
            for message in kept:
                await send(message)

    def _delay(self, user: str) -> float:
        """Seconds that this failure, which is noted, costs."""
        now = time.monotonic()
        failures = self._failures.setdefault(user, deque(maxlen=FREE))
        self._failures.move_to_end(user)
        while len(self._failures) > USERS:
            self._failures.popitem(last=False)
        many = len(failures) == FREE and now - failures[0] < WINDOW_S
        failures.append(now)
        return DELAY_S if many else 0.0


def _user(body: bytes) -> str:
    """Name or id of whoever the request is about; "" for another kind of request."""
    try:
        user = json.loads(body)["auth"]["identity"]["password"]["user"]
        return str(user.get("name") or user.get("id"))[:255]
    except (ValueError, KeyError, TypeError, AttributeError):
        return ""
