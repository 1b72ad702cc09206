"""The version document of the Placement API; no token needed."""

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from api.placement.microversion import MAXIMUM, MINIMUM

router = APIRouter()


@router.get("/")
async def list_versions(request: Request) -> Response:
    """The one version, with its microversions; its address is relative, as Placement's is."""
    bounds = {"min_version": f"1.{MINIMUM}", "max_version": f"1.{MAXIMUM}"}
    version = {"id": "v1.0", **bounds, "status": "CURRENT", "links": [{"rel": "self", "href": ""}]}
    return JSONResponse({"versions": [version]})
