"""Version documents: what this service speaks, and where its resources are."""

from typing import Any

from fastapi import APIRouter, Request

from api.network.ask import Ask
from api.network.routes.resources import RESOURCES

router = APIRouter()
OTHERS = {"quota": "quotas", "extension": "extensions", "agent": "agents", "availability_zone": "availability_zones"}
COLLECTIONS = {resource.kind.member: resource.path for resource in RESOURCES} | OTHERS


@router.get("/")
async def versions(request: Request) -> Any:
    """The versions that are served; no token needed."""
    link = {"rel": "self", "href": f"{str(request.base_url).rstrip('/')}/v2.0/"}
    return {"versions": [{"id": "v2.0", "status": "CURRENT", "links": [link]}]}


@router.get("/v2.0")
@router.get("/v2.0/")
async def resources(request: Request, _ask: Ask) -> Any:
    """The collections below this version."""
    base = f"{str(request.base_url).rstrip('/')}/v2.0"
    return {
        "resources": [
            {
                "name": name,
                "collection": collection.replace("-", "_"),
                "links": [{"rel": "self", "href": f"{base}/{collection}"}],
            }
            for name, collection in COLLECTIONS.items()
        ]
    }
