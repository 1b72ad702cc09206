"""The image service's parts, put together once per process, and the types by which routes ask for them."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import anyio.to_thread
from fastapi import Depends, FastAPI, Request

from api.common.context import Caller
from api.common.errors import ServiceError
from api.common.policy import Policy
from api.image.access import Access
from api.image.errors import invalid
from api.image.files import Files
from api.image.policy import RULES
from api.image.uploads import Uploads
from infra.database import Database
from infra.settings import Settings

MAX_BODY = 1 << 20


class ImageService:
    """Store, data files and rules."""

    def __init__(self, settings: Settings) -> None:
        self.db = Database("image", state_dir=settings.state_dir)
        self.policy = Policy("image", RULES, settings.state_dir)
        self.files = Files(settings.state_dir / "images")
        self.uploads = Uploads(self.db, self.files)

    def start(self) -> None:
        self.db.wait_ready()
        self.db.migrate()
        self.uploads.recover()


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    service: ImageService = app.state.images
    await anyio.to_thread.run_sync(service.start)
    try:
        yield
    finally:
        service.db.engine.dispose()


def image_service(request: Request) -> ImageService:
    service: ImageService = request.app.state.images
    return service


Service = Annotated[ImageService, Depends(image_service)]
"""Route parameter type: the service's parts."""


def access(caller: Caller, service: Service) -> Access:
    return Access(service.policy, caller)


Asked = Annotated[Access, Depends(access)]
"""Route parameter type: what the authenticated caller may do."""


async def json_body(request: Request, asked: Asked) -> Any:
    """The body, whatever JSON media type it claims; 400 when it is not JSON, 413 when it is too big."""
    raw = b""
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > MAX_BODY:
            raise ServiceError(413, "The request's body is too big.")
    try:
        return json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise invalid("Malformed JSON in request body.") from error


Body = Annotated[Any, Depends(json_body)]
"""Route parameter type: the JSON body, parsed but not checked."""
