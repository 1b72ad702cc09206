"""Routes of tags, the same for every resource that has them."""

from typing import Any

from fastapi import APIRouter
from pydantic import TypeAdapter, ValidationError
from sqlmodel import Session

from api.common.errors import ServiceError
from api.network.ask import Ask, Asker, JsonBody
from api.network.errors import bad
from api.network.model import tags
from api.network.model.kinds import Kind, find
from api.network.routes.answers import check_revision, json
from api.network.routes.resources import RESOURCES
from api.network.schemas.fields import Tags
from infra.tables.network import Standard

router = APIRouter(prefix="/v2.0/{collection}/{resource_id}/tags")
KINDS: dict[str, Kind[Any]] = {
    resource.path.rpartition("/")[2]: resource.kind for resource in RESOURCES if resource.tagged
}
TAGS: TypeAdapter[list[str]] = TypeAdapter(Tags)


def _find(session: Session, ask: Asker, collection: str, resource_id: str, *, change: bool = False) -> Standard:
    """The resource; 404 when it is not there, 403 when its tags are not the caller's to change."""
    if collection not in KINDS:
        raise ServiceError(404, "The resource could not be found.")
    kind = KINDS[collection]
    try:
        row: Standard = find(session, ask, kind, resource_id)
    except ServiceError as error:
        words = f"Resource {collection} {resource_id} could not be found."
        raise ServiceError(error.status, words, title="TagResourceNotFound") from None
    if change:
        ask.enforce(f"update_{kind.member}", row.project_id)
        check_revision(ask, row)
        row.touch()
    return row


def _checked(wanted: Any) -> list[str]:
    try:
        return TAGS.validate_python(wanted)
    except ValidationError as error:
        raise bad(f"Invalid input for tags. Reason: {error.errors()[0]['msg']}") from None


@router.get("")
def list_tags(ask: Ask, collection: str, resource_id: str) -> Any:
    """A resource's tags."""
    with ask.store.read() as session:
        return json({"tags": tags.names(session, _find(session, ask, collection, resource_id))})


@router.put("")
def replace_tags(ask: Ask, collection: str, resource_id: str, body: JsonBody) -> Any:
    """Replace all tags."""
    wanted = _checked(body.get("tags"))
    with ask.store.write() as session:
        row = _find(session, ask, collection, resource_id, change=True)
        tags.replace(session, row, wanted)
        session.flush()
        return json({"tags": tags.names(session, row)})


@router.post("", status_code=201)
def create_tags(ask: Ask, collection: str, resource_id: str, body: JsonBody) -> Any:
    """Add tags beside those that are there."""
    wanted = _checked(body.get("tags"))
    with ask.store.write() as session:
        row = _find(session, ask, collection, resource_id, change=True)
        tags.add(session, row, wanted)
        session.flush()
        return json({"tags": tags.names(session, row)}, 201)


@router.delete("", status_code=204)
def delete_tags(ask: Ask, collection: str, resource_id: str) -> None:
    """Remove all tags."""
    with ask.store.write() as session:
        tags.forget(session, _find(session, ask, collection, resource_id, change=True).id)


@router.get("/{tag}", status_code=204)
def show_tag(ask: Ask, collection: str, resource_id: str, tag: str) -> None:
    """204 when the resource has the tag, else 404."""
    with ask.store.read() as session:
        if tag not in tags.names(session, _find(session, ask, collection, resource_id)):
            raise _no_tag(tag)


@router.put("/{tag}", status_code=201)
def add_tag(ask: Ask, collection: str, resource_id: str, tag: str) -> None:
    """Add one tag."""
    wanted = _checked([tag])
    with ask.store.write() as session:
        tags.add(session, _find(session, ask, collection, resource_id, change=True), wanted)


@router.delete("/{tag}", status_code=204)
def delete_tag(ask: Ask, collection: str, resource_id: str, tag: str) -> None:
    """Remove one tag."""
    with ask.store.write() as session:
        if not tags.remove(session, _find(session, ask, collection, resource_id, change=True), tag):
            raise _no_tag(tag)


def _no_tag(tag: str) -> ServiceError:
    return ServiceError(404, f"Tag {tag} could not be found.", title="TagNotFound")
