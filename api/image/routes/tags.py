"""Tags of an image."""

from fastapi import APIRouter
from sqlmodel import select

from api.common.errors import ServiceError
from api.image.errors import too_many
from api.image.fields import MAX_TAGS, checked
from api.image.service import Asked, Service
from infra.tables.image import Tag, now

router = APIRouter(prefix="/v2/images/{image_id}/tags")


@router.put("/{tag}", status_code=204)
def add_tag(image_id: str, tag: str, asked: Asked, service: Service) -> None:
    """Source: Image API v2, add image tag; once more changes nothing."""
    checked("tags", [tag])
    with service.db.write() as session:
        image = asked.change(session, image_id, "modify_image")
        if session.get(Tag, (image.id, tag)):
            return
        if len(session.exec(select(Tag.value).where(Tag.image_id == image.id)).all()) >= MAX_TAGS:
            raise too_many("image tags", MAX_TAGS)
        session.add(Tag(image_id=image.id, value=tag))
        image.updated_at = now()


@router.delete("/{tag}", status_code=204)
def remove_tag(image_id: str, tag: str, asked: Asked, service: Service) -> None:
    checked("tags", [tag])
    with service.db.write() as session:
        image = asked.change(session, image_id, "modify_image")
        row = session.get(Tag, (image.id, tag))
        if row is None:
            raise ServiceError(404, f"Tag {tag[:255]} is not on image {image.id}")
        session.delete(row)
        image.updated_at = now()
