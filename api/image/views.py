"""Images and members as the API shows them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlmodel import Session, col, select

from infra.tables.image import Image, Member, Property, Tag

WITH_DATA = ("active", "deactivated")


def timestamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def images_view(session: Session, images: Sequence[Image]) -> list[dict[str, Any]]:
    """Bodies of `images`, properties at the top level. Source: Image API v2, show image."""
    ids = [image.id for image in images]
    properties: dict[str, dict[str, str]] = {image_id: {} for image_id in ids}
    tags: dict[str, list[str]] = {image_id: [] for image_id in ids}
    for row in session.exec(select(Property).where(col(Property.image_id).in_(ids)).order_by(Property.name)):
        properties[row.image_id][row.name] = row.value
    for tag in session.exec(select(Tag).where(col(Tag.image_id).in_(ids)).order_by(Tag.value)):
        tags[tag.image_id].append(tag.value)
    return [_image(image, properties[image.id], tags[image.id]) for image in images]


def image_view(session: Session, image: Image) -> dict[str, Any]:
    return images_view(session, [image])[0]


def _image(image: Image, properties: dict[str, str], tags: list[str]) -> dict[str, Any]:
    has_data = image.status in WITH_DATA
    return {
        **properties,
        "id": image.id,
        "name": image.name,
        "status": image.status,
        "visibility": image.visibility,
        "protected": image.protected,
        "checksum": image.checksum if has_data else None,
        "os_hash_algo": image.os_hash_algo if has_data else None,
        "os_hash_value": image.os_hash_value if has_data else None,
        "os_hidden": image.os_hidden,
        "owner": image.owner,
        "size": image.size if has_data else None,
        "virtual_size": image.virtual_size if has_data else None,
        "container_format": image.container_format,
        "disk_format": image.disk_format,
        "min_disk": image.min_disk,
        "min_ram": image.min_ram,
        "created_at": timestamp(image.created_at),
        "updated_at": timestamp(image.updated_at),
        "tags": tags,
        "self": f"/v2/images/{image.id}",
        "file": f"/v2/images/{image.id}/file",
        "schema": "/v2/schemas/image",
    }


def member_view(member: Member) -> dict[str, Any]:
    """Source: Image API v2, show image member details."""
    return {
        "image_id": member.image_id,
        "member_id": member.member_id,
        "status": member.status,
        "created_at": timestamp(member.created_at),
        "updated_at": timestamp(member.updated_at),
        "schema": "/v2/schemas/member",
    }
