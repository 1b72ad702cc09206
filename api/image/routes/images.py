"""Images: create, list, show, update, delete."""

from typing import Any
from uuid import uuid4

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session

from api.image.access import Access
from api.image.errors import conflict, forbidden, invalid
from api.image.fields import SETTABLE, check_id, check_property_count, checked
from api.image.listing import list_images
from api.image.patch import Patching, parse, permit_visibility, set_tags
from api.image.service import Asked, Body, Service
from api.image.views import image_view
from infra.tables.image import Image, Property

router = APIRouter(prefix="/v2/images")


@router.post("", status_code=201)
def create_image(request: Request, body: Body, asked: Asked, service: Service) -> Response:
    """Source: Image API v2, create image: a record in status queued, its data to follow."""
    if not isinstance(body, dict):
        raise invalid("Provided object does not match schema 'image': it is not an object")
    asked.enforce("add_image")
    given = dict(body)
    image_id = check_id(given.pop("id")) if "id" in given else str(uuid4())
    fields = {name: checked(name, value) for name, value in given.items()}
    try:
        with service.db.write() as session:
            if session.get(Image, image_id):
                raise conflict(f"Image ID {image_id} already exists!")
            shown = _create(session, asked, image_id, fields)
    except IntegrityError as error:
        raise conflict(f"Image ID {image_id} already exists!") from error
    location = f"{str(request.base_url).rstrip('/')}/v2/images/{image_id}"
    headers = {"Location": location, "OpenStack-image-import-methods": "glance-direct"}
    return JSONResponse(shown, 201, headers)


def _create(session: Session, asked: Access, image_id: str, fields: dict[str, Any]) -> dict[str, Any]:
    fixed = {name: value for name, value in fields.items() if name in SETTABLE and name != "tags"}
    image = Image(**{"owner": asked.caller.project_id or None, **fixed, "id": image_id})
    if image.owner != (asked.caller.project_id or None) and not asked.allows("acts_for_other_projects"):
        raise forbidden(f"You are not permitted to create images owned by '{image.owner}'.")
    permit_visibility(asked, image, image.visibility)
    session.add(image)
    session.flush()
    properties = {name: value for name, value in fields.items() if name not in SETTABLE}
    check_property_count(len(properties))
    session.add_all(Property(image_id=image_id, name=name, value=value) for name, value in properties.items())
    set_tags(session, image, fields.get("tags", []))
    return image_view(session, image)


@router.get("")
def index_images(request: Request, asked: Asked, service: Service) -> dict[str, Any]:
    """Source: Image API v2, list images."""
    asked.enforce("get_images")
    with service.db.read() as session:
        return list_images(session, asked, request.query_params)


@router.get("/{image_id}")
def show_image(image_id: str, asked: Asked, service: Service) -> dict[str, Any]:
    with service.db.read() as session:
        return image_view(session, asked.find(session, image_id))


@router.patch("/{image_id}")
def update_image(request: Request, image_id: str, body: Body, asked: Asked, service: Service) -> dict[str, Any]:
    """Source: Image API v2, update image."""
    changes = parse(request.headers.get("content-type", ""), body)
    with service.db.write() as session:
        image = asked.change(session, image_id, "modify_image")
        Patching(session, asked, image).apply(changes)
        session.flush()
        return image_view(session, image)


@router.delete("/{image_id}", status_code=204)
def delete_image(image_id: str, asked: Asked, service: Service) -> None:
    service.uploads.remove(asked, image_id)
