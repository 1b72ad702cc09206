"""Parts of Glance's API that this service answers with 501, in words."""

from fastapi import APIRouter

from api.image.errors import not_built
from api.image.service import Asked

router = APIRouter(prefix="/v2")
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"]


@router.api_route("/tasks", methods=METHODS)
@router.api_route("/tasks/{rest:path}", methods=METHODS)
@router.api_route("/images/{image_id}/tasks", methods=METHODS)
async def tasks(_asked: Asked) -> None:
    raise not_built("Tasks")


@router.api_route("/metadefs/{rest:path}", methods=METHODS)
async def metadata_definitions(_asked: Asked) -> None:
    raise not_built("The metadata definitions catalog")


@router.api_route("/cache", methods=METHODS)
@router.api_route("/cache/{rest:path}", methods=METHODS)
@router.api_route("/cached_images", methods=METHODS)
@router.api_route("/queued_images", methods=METHODS)
async def cache(_asked: Asked) -> None:
    raise not_built("Cache management")


@router.api_route("/images/{image_id}/locations", methods=METHODS)
async def locations(_asked: Asked) -> None:
    raise not_built("Image locations")


@router.api_route("/stores/{rest:path}", methods=METHODS)
@router.api_route("/info/stores/detail", methods=METHODS)
@router.api_route("/info/usage", methods=METHODS)
async def more_stores(_asked: Asked) -> None:
    raise not_built("Store and usage information")
