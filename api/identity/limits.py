"""Refuses bodies that are larger than any this API has a use for, before they are read into memory."""

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class BodyLimit:
    """413 once a body's announced or real length exceeds `most` bytes."""

    def __init__(self, app: ASGIApp, most: int) -> None:
        self.app, self.most = app, most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        announced = Headers(scope=scope).get("content-length", "0")
        read = int(announced) if announced.isdigit() and int(announced) > self.most else 0

        async def counted() -> Message:
            nonlocal read
            if read <= self.most:
                message = await receive()
                read += len(message.get("body", b""))
            if read > self.most:
                raise HTTPException(413, "Request is too large.")
            return message

        await self.app(scope, counted, send)
