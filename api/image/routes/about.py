"""What the service says of itself: versions, import methods, stores, schemas."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from api.common.errors import ServiceError
from api.image.schemas import SCHEMAS
from api.image.service import Asked

router = APIRouter()
NEWEST = 17


def _versions(request: Request) -> dict[str, Any]:
    links = [{"rel": "self", "href": f"{str(request.base_url).rstrip('/')}/v2/"}]
    numbers = range(NEWEST, -1, -1)
    return {
        "versions": [
            {"id": f"v2.{n}", "status": "CURRENT" if n == NEWEST else "SUPPORTED", "links": links} for n in numbers
        ]
    }


@router.get("/")
def choose_version(request: Request) -> JSONResponse:
    """300, as Glance's clients expect of an endpoint without a version. Source: Image API, versions."""
    return JSONResponse(_versions(request), 300)


@router.get("/versions")
def list_versions(request: Request) -> dict[str, Any]:
    return _versions(request)


@router.get("/v2/info/import")
def import_methods(_asked: Asked) -> dict[str, Any]:
    about = {"description": "Import methods available.", "type": "array", "value": ["glance-direct"]}
    return {"import-methods": about}


@router.get("/v2/info/stores")
def stores(_asked: Asked) -> dict[str, Any]:
    return {"stores": [{"id": "local", "description": "Files on the image service's disk.", "default": "true"}]}


@router.get("/v2/schemas/{name}")
def show_schema(name: str, _asked: Asked) -> dict[str, Any]:
    """Source: Image API v2, image schemas."""
    if name not in SCHEMAS:
        raise ServiceError(404, "The resource could not be found.")
    return SCHEMAS[name]
