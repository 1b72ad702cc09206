"""Version documents: where clients begin, without a token."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from api.identity.access import base_url

router = APIRouter()


def document(request: Request) -> dict[str, Any]:
    return {
        "id": "v3.14",
        "status": "stable",
        "updated": "2020-04-07T00:00:00Z",
        "links": [{"rel": "self", "href": f"{base_url(request)}/"}],
        "media-types": [{"base": "application/json", "type": "application/vnd.openstack.identity-v3+json"}],
    }


@router.get("/")
async def all_versions(request: Request) -> JSONResponse:
    return JSONResponse({"versions": {"values": [document(request)]}}, status_code=300)


@router.get("/v3")
@router.get("/v3/")
async def this_version(request: Request) -> JSONResponse:
    return JSONResponse({"version": document(request)})
