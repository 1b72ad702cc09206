"""Members of a shared image: the projects with which it is shared, and whether they accepted it."""

from typing import Any

from fastapi import APIRouter
from sqlmodel import Session, select

from api.common.errors import ServiceError
from api.image.access import Access
from api.image.errors import conflict, forbidden, invalid, too_many
from api.image.fields import MAX_MEMBERS, MAX_TEXT
from api.image.service import Asked, Body, Service
from api.image.views import member_view
from infra.tables.image import Image, Member, now

router = APIRouter(prefix="/v2/images/{image_id}/members")


def _text(body: Any, name: str) -> str:
    value = body.get(name) if isinstance(body, dict) else None
    if not isinstance(value, str) or not 0 < len(value) <= MAX_TEXT or "\0" in value:
        raise invalid(f'Expected a {name} in the form: {{"{name}": "…"}}')
    return value


def _shared(image: Image) -> None:
    if image.visibility != "shared":
        raise forbidden("Only shared images have members.")


def _find(session: Session, image: Image, member_id: str) -> Member:
    named = "\0" not in member_id  # which PostgreSQL cannot even compare
    member = session.get(Member, (image.id, member_id), with_for_update=True) if named else None
    if member is None:
        raise ServiceError(404, f"No member {member_id[:MAX_TEXT]} found for image {image.id}")
    return member


def _sees_all_members(asked: Access, image: Image) -> bool:
    return asked.sees_all or asked.owns(image)


@router.post("")
def add_member(image_id: str, body: Body, asked: Asked, service: Service) -> dict[str, Any]:
    """Source: Image API v2, create image member: in status pending, until the project accepts it."""
    member_id = _text(body, "member")
    with service.db.write() as session:
        image = asked.change(session, image_id, "add_member")
        _shared(image)
        if session.get(Member, (image.id, member_id)):
            raise conflict(f"Image member {member_id} already exists for image {image.id}.")
        if len(session.exec(select(Member.member_id).where(Member.image_id == image.id)).all()) >= MAX_MEMBERS:
            raise too_many("image members", MAX_MEMBERS)
        member = Member(image_id=image.id, member_id=member_id)
        session.add(member)
        session.flush()
        return member_view(member)


@router.get("")
def list_members(image_id: str, asked: Asked, service: Service) -> dict[str, Any]:
    """All of them for the owner, himself for a member."""
    with service.db.read() as session:
        image = asked.find(session, image_id)
        asked.enforce("get_members", image)
        _shared(image)
        wanted = select(Member).where(Member.image_id == image.id).order_by(Member.member_id)
        if not _sees_all_members(asked, image):
            wanted = wanted.where(Member.member_id == asked.caller.project_id)
        members = [member_view(member) for member in session.exec(wanted)]
    return {"members": members, "schema": "/v2/schemas/members"}


@router.get("/{member_id}")
def show_member(image_id: str, member_id: str, asked: Asked, service: Service) -> dict[str, Any]:
    with service.db.read() as session:
        image = asked.find(session, image_id)
        asked.enforce("get_members", image)
        _shared(image)
        if not _sees_all_members(asked, image) and member_id != asked.caller.project_id:
            raise ServiceError(404, f"No member {member_id[:MAX_TEXT]} found for image {image.id}")
        return member_view(_find(session, image, member_id))


@router.put("/{member_id}")
def update_member(image_id: str, member_id: str, body: Body, asked: Asked, service: Service) -> dict[str, Any]:
    """Accept or reject, which is the member's own affair. Source: Image API v2, update image member."""
    status = _text(body, "status")
    if status not in ("accepted", "pending", "rejected"):
        raise invalid("Image member status must be accepted, pending or rejected.")
    with service.db.write() as session:
        image = asked.find(session, image_id, lock=True)
        asked.enforce("modify_member", image)
        _shared(image)
        member = _find(session, image, member_id)
        if member_id != asked.caller.project_id and not asked.sees_all:
            raise forbidden(f"You are not permitted to modify the status of member {member_id}.")
        member.status, member.updated_at = status, now()
        return member_view(member)


@router.delete("/{member_id}", status_code=204)
def remove_member(image_id: str, member_id: str, asked: Asked, service: Service) -> None:
    with service.db.write() as session:
        image = asked.change(session, image_id, "delete_member")
        _shared(image)
        session.delete(_find(session, image, member_id))
