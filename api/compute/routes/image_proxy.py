"""Images by way of the compute API, as clients asked for them before 2.36; their metadata until 2.38."""

from collections.abc import Callable
from typing import Any
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse

from api.common.errors import ServiceError
from api.compute.call import Body, Call, ComputeCall, versions
from api.compute.errors import bad_request, forbidden, not_found
from api.compute.neighbours import neighbours
from api.compute.paging import Page
from api.compute.schemas.servers import MetaBody, MetadataBody
from api.compute.validation import check, timestamp
from api.compute.views import images as view
from infra.openstack import IMAGE

router = APIRouter()
PROXY, METADATA = [versions(1, 35)], [versions(1, 38)]
FILTERS = {"name": "name", "status": "status", "server": "instance_uuid", "type": "image_type", "minRam": "min_ram",
           "minDisk": "min_disk"}  # fmt: skip
GONE = "Image not found."
PATCH = {"Content-Type": "application/openstack-images-v2.1-json-patch"}
PAGING = {"limit", "marker", "sort", "sort_key", "sort_dir"}
"""Of the image service's own query; no property is asked for by such a name."""
MOST = 128
"""Properties of an image: Nova's `metadata_items`."""


@router.get("/images", dependencies=PROXY)
def list_images(call: Call) -> Response:
    """Ids and names of images, as the image service lists them to the caller."""
    return _list(call, "/images", view.summary)


@router.get("/images/detail", dependencies=PROXY)
def list_images_detail(call: Call) -> Response:
    """Images in Nova's old format."""
    return _list(call, "/images/detail", view.detail)


@router.get("/images/{image_id}", dependencies=PROXY)
def show_image(call: Call, image_id: str) -> Response:
    """One image in Nova's old format."""
    return JSONResponse({"image": view.detail(call, _find(call, image_id), neighbours(call).endpoint(call, IMAGE))})


@router.delete("/images/{image_id}", status_code=204, dependencies=PROXY)
def delete_image(call: Call, image_id: str) -> Response:
    """Delete an image, if its service lets the caller."""
    try:
        found = neighbours(call).send(call, "DELETE", IMAGE, f"/v2/images/{quote(image_id, safe='')}")
    except ServiceError as error:
        raise forbidden("You are not allowed to delete the image.") if error.status == 403 else error from None
    if found is None:
        raise not_found(GONE)
    return Response(status_code=204)


@router.get("/images/{image_id}/metadata", dependencies=METADATA)
def list_image_metadata(call: Call, image_id: str) -> Response:
    """Properties of an image."""
    return JSONResponse({"metadata": view.properties(_find(call, image_id))})


@router.post("/images/{image_id}/metadata", dependencies=METADATA)
def create_image_metadata(call: Call, image_id: str, body: Body) -> Response:
    """Add properties; existing ones get the new value."""
    wish = check(MetadataBody, body, "").metadata
    return JSONResponse({"metadata": _change(call, image_id, lambda known: {**known, **wish})})


@router.put("/images/{image_id}/metadata", dependencies=METADATA)
def replace_image_metadata(call: Call, image_id: str, body: Body) -> Response:
    """Replace all properties."""
    wish = check(MetadataBody, body, "").metadata
    return JSONResponse({"metadata": _change(call, image_id, lambda _known: dict(wish))})


@router.get("/images/{image_id}/metadata/{key}", dependencies=METADATA)
def show_image_metadata_item(call: Call, image_id: str, key: str) -> Response:
    """One property."""
    known = view.properties(_find(call, image_id))
    if key not in known:
        raise not_found()
    return JSONResponse({"meta": {key: known[key]}})


@router.put("/images/{image_id}/metadata/{key}", dependencies=METADATA)
def update_image_metadata_item(call: Call, image_id: str, key: str, body: Body) -> Response:
    """Set one property."""
    wish = check(MetaBody, body, "").meta
    if key not in wish:
        raise bad_request("Request body and URI mismatch")
    _change(call, image_id, lambda known: {**known, key: wish[key]})
    return JSONResponse({"meta": wish})


@router.delete("/images/{image_id}/metadata/{key}", status_code=204, dependencies=METADATA)
def delete_image_metadata_item(call: Call, image_id: str, key: str) -> Response:
    """Remove one property."""

    def without(known: dict[str, Any]) -> dict[str, Any]:
        if key not in known:
            raise not_found("Invalid metadata key")
        return {name: value for name, value in known.items() if name != key}

    _change(call, image_id, without)
    return Response(status_code=204)


def _find(call: ComputeCall, image_id: str) -> dict[str, Any]:
    found = neighbours(call).get(call, IMAGE, f"/v2/images/{quote(image_id, safe='')}")
    if found is None or "id" not in found:
        raise not_found(GONE)
    return found


def _change(call: ComputeCall, image_id: str, change: Callable[[dict[str, Any]], dict[str, Any]]) -> dict[str, Any]:
    """The properties as `change` made them of the known ones; 403 when there are too many or they are not the
    caller's to change."""
    image = _find(call, image_id)
    known = {name: value for name, value in image.items() if name not in view.BASE}
    wish = change(known)
    if len(wish) > MOST:
        raise forbidden("Image metadata limit exceeded")
    steps: list[dict[str, Any]] = [{"op": "remove", "path": _pointer(name)} for name in known if name not in wish]
    steps += [
        {"op": "replace" if name in known else "add", "path": _pointer(name), "value": value}
        for name, value in wish.items()
        if known.get(name) != value
    ]
    if (
        steps
        and neighbours(call).send(call, "PATCH", IMAGE, f"/v2/images/{image['id']}", json=steps, headers=PATCH) is None
    ):
        raise not_found(GONE)
    return wish


def _pointer(name: str) -> str:
    """RFC 6901, section 3."""
    return "/" + name.replace("~", "~0").replace("/", "~1")


def _list(call: ComputeCall, path: str, shown: Callable[[ComputeCall, dict[str, Any], str], Any]) -> Response:
    page = Page.of(call)
    glance = neighbours(call).endpoint(call, IMAGE)
    images = [shown(call, image, glance) for image in _images(call, page)]
    body: dict[str, Any] = {"images": images}
    if links := page.links(call, path, [image["id"] for image in images]):
        body["images_links"] = links
    return JSONResponse(body)


def _images(call: ComputeCall, page: Page) -> list[dict[str, Any]]:
    """Page after page of the image service's own; 400 for what it refuses."""
    asked = _filters(call) | ({"marker": page.marker} if page.marker else {})
    found: list[dict[str, Any]] = []
    next_page = f"/v2/images?{urlencode(asked | {'limit': str(max(1, page.limit))})}"
    while len(found) < page.limit:
        body = neighbours(call).get(call, IMAGE, next_page)
        if body is None:
            raise bad_request("The image service refuses a filter or the marker.")
        found += body.get("images", [])
        next_page = body.get("next", "")
        if not next_page:
            break
    return found[: page.limit]


def _filters(call: ComputeCall) -> dict[str, str]:
    """The query in the image service's terms. What is not a filter is passed over, as in Nova."""
    found: dict[str, str] = {}
    for name, value in call.query.items():
        if name in FILTERS:
            found[FILTERS[name]] = value
        elif name.startswith("property-") and name.removeprefix("property-") not in view.BASE | PAGING:
            found[name.removeprefix("property-")] = value
        elif name == "changes-since":
            found["updated_at"] = f"gte:{timestamp(value, name).isoformat(timespec='seconds')}Z"
    if "status" in found:
        found["status"] = found["status"].lower()
    if "instance_uuid" in found:
        found["instance_uuid"] = found["instance_uuid"].rsplit("/", 1)[-1]
    return found
