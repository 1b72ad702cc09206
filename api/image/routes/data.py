"""Image data: upload, staging and import, download with ranges."""

import re
from collections.abc import AsyncIterator, Callable
from typing import Annotated, BinaryIO

import anyio
import anyio.to_thread
from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import StreamingResponse
from starlette.requests import ClientDisconnect

from api.common.errors import ServiceError
from api.image.errors import conflict, forbidden, invalid, not_built
from api.image.files import CHUNK
from api.image.service import Asked, Body, ImageService, Service
from api.image.uploads import Upload
from infra import logs

router = APIRouter(prefix="/v2/images/{image_id}")
log = logs.get(__name__)
in_thread = anyio.to_thread.run_sync
RANGE = re.compile(r"^bytes=(\d*)-(\d*)$")
DRAIN = 32 << 20


@router.put("/file", status_code=204)
async def upload_data(request: Request, image_id: str, asked: Asked, service: Service) -> None:
    """Source: Image API v2, upload binary image data. Header x-openstack-image-size, if given, is held to."""
    await _receive(request, service, lambda: service.uploads.begin(asked, image_id))


@router.put("/stage", status_code=204)
async def stage_data(request: Request, image_id: str, asked: Asked, service: Service) -> None:
    """Source: Image API v2, interoperable image import: stage binary image data."""
    await _receive(request, service, lambda: service.uploads.begin(asked, image_id, staging=True))


@router.delete("/stage", status_code=204)
def unstage_data(image_id: str, asked: Asked, service: Service) -> None:
    service.uploads.unstage(asked, image_id)


@router.post("/import", status_code=202)
def import_data(image_id: str, asked: Asked, service: Service, body: Body) -> Response:
    """Source: Image API v2, import an image; the only method is glance-direct."""
    method = body.get("method") if isinstance(body, dict) else None
    name = method.get("name") if isinstance(method, dict) else None
    if not isinstance(name, str):
        raise invalid("Input to import image must have a method with a name.")
    if name in ("web-download", "copy-image", "glance-download"):
        raise not_built(f"The import method {name}")
    if name != "glance-direct":
        raise invalid(f"Unknown import method name '{name[:40]}'.")
    service.uploads.import_staged(asked, image_id)
    return Response(status_code=202)


async def _receive(request: Request, service: ImageService, begin: Callable[[], Upload]) -> None:
    """Stream the body to disk. However it ends, either the image has all of its data or there is none of it."""
    upload: Upload | None = None
    try:
        expected = _announced(request)
        upload = await in_thread(begin)
        service.files.expect(expected or 0)
        await _write_body(request, upload)
        claimed = request.headers.get("x-openstack-image-size")
        if claimed and claimed != str(upload.partial.size):
            raise invalid(f"The data has {upload.partial.size} bytes, x-openstack-image-size says otherwise.")
        await in_thread(service.uploads.finish, upload)
    except ClientDisconnect:
        log.info("upload was broken off", image_id=upload.image_id if upload else "")
        raise ServiceError(400, "The data ended too early.") from None
    except ServiceError:
        await _drain(request)
        raise
    finally:
        if upload:
            with anyio.CancelScope(shield=True):
                await in_thread(service.uploads.abandon, upload)


def _announced(request: Request) -> int | None:
    if request.headers.get("content-type", "").split(";")[0] != "application/octet-stream":
        raise ServiceError(415, "Image data must be sent as application/octet-stream.")
    length = request.headers.get("content-length", "")
    return int(length) if length.isdigit() else None


async def _write_body(request: Request, upload: Upload) -> None:
    waiting = bytearray()
    async for chunk in request.stream():
        waiting += chunk
        if len(waiting) >= CHUNK:
            await in_thread(upload.partial.write, bytes(waiting))
            waiting.clear()
    if waiting:
        await in_thread(upload.partial.write, bytes(waiting))


async def _drain(request: Request) -> None:
    """Read some of what still comes, since a client that is busy sending does not see the answer otherwise."""
    left = DRAIN
    if int(request.headers.get("content-length") or 0) > DRAIN:
        return
    try:
        with anyio.move_on_after(3):
            async for chunk in request.stream():
                left -= len(chunk)
                if left < 0:
                    return
    except (ClientDisconnect, RuntimeError):
        return


class Download:
    """An image's data, opened for reading, so that a deletion meanwhile does not disturb it."""

    def __init__(self, image_id: str, asked: Asked, service: Service) -> None:
        self.file: BinaryIO | None = None
        with service.db.read() as session:
            image = asked.find(session, image_id)
        asked.enforce("download_image", image)
        self.size, self.checksum = image.size or 0, image.checksum or ""
        if image.status == "deactivated" and not asked.allows("download_deactivated_image", image):
            raise forbidden("The requested image has been deactivated. Image data download is forbidden.")
        if image.status not in ("active", "deactivated"):
            return
        try:
            self.file = service.files.open(image.id)
            held = self.file.seek(0, 2)
        except OSError as error:
            raise ServiceError(500, f"The data of image {image.id} cannot be read.") from error
        if held != self.size:
            self.file.close()
            raise ServiceError(500, f"The data of image {image.id} is damaged: {held} of {self.size} bytes are there.")


@router.get("/file")
async def download_data(request: Request, download: Annotated[Download, Depends(Download)]) -> Response:
    """Source: Image API v2, download binary image data: 200, 206 for a range, 204 when there is no data yet."""
    if download.file is None:
        return Response(status_code=204)
    try:
        wanted = _range(request.headers.get("range", ""), download.size)
    except ServiceError:
        download.file.close()
        raise
    start, end = wanted or (0, download.size)
    headers = {"Content-Length": str(end - start), "Accept-Ranges": "bytes"}
    if wanted:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{download.size}"
    elif download.checksum:
        headers["Content-MD5"] = download.checksum
    return StreamingResponse(
        _read(download.file, start, end),
        status_code=206 if wanted else 200,
        headers=headers,
        media_type="application/octet-stream",
    )


def _range(header: str, size: int) -> tuple[int, int] | None:
    """Half-open range that `header` asks for; None for the whole. 416 when it lies outside (RFC 9110, section 14)."""
    found = RANGE.match(header.replace(" ", ""))
    if not found or not any(found.groups()):
        return None
    first, last = found.groups()
    start, end = (int(first), int(last) + 1 if last else size) if first else (max(0, size - int(last)), size)
    if start >= size or start >= end:
        raise ServiceError(
            416, f"The range is outside of the image's {size} bytes.", headers={"Content-Range": f"bytes */{size}"}
        )
    return start, min(end, size)


async def _read(file: BinaryIO, start: int, end: int) -> AsyncIterator[bytes]:
    try:
        await in_thread(file.seek, start)
        while start < end:
            data = await in_thread(file.read, min(CHUNK, end - start))
            if not data:
                return
            start += len(data)
            yield data
    finally:
        file.close()


@router.post("/actions/{action}", status_code=204)
def act(image_id: str, action: str, asked: Asked, service: Service) -> None:
    """Source: Image API v2, deactivate and reactivate image."""
    states = {"deactivate": ("active", "deactivated"), "reactivate": ("deactivated", "active")}
    if action not in states:
        raise ServiceError(404, "The resource could not be found.")
    before, after = states[action]
    with service.db.write() as session:
        image = asked.change(session, image_id, action)
        if image.status not in (before, after):
            raise conflict(f"Not allowed to {action} an image in status '{image.status}'")
        image.status = after
