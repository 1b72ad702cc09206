"""Changes of an image by JSON patch, in the two dialects that Glance's clients speak."""

from dataclasses import dataclass
from typing import Any

from sqlmodel import Session, col, select

from api.common.errors import ServiceError
from api.image.access import Access
from api.image.errors import conflict, forbidden, invalid
from api.image.fields import SETTABLE, check_property_count, checked, refuse_reserved
from infra.tables.image import Image, Property, Tag, now

MEDIA_TYPES = {
    "application/openstack-images-v2.1-json-patch": "2.1",
    "application/openstack-images-v2.0-json-patch": "2.0",
}
OPERATIONS = ("add", "replace", "remove")
QUEUED_ONLY = ("container_format", "disk_format")


@dataclass(frozen=True)
class Change:
    """One operation on one field or property. `value` means nothing when the operation is `remove`."""

    operation: str
    name: str
    value: Any = None


def parse(media_type: str, body: Any) -> list[Change]:
    """The changes, in their order; 415 for another media type, 400 for a malformed patch. Source: Image API v2,
    appendix "HTTP PATCH media types" (RFC 6902 with paths of one level)."""
    dialect = MEDIA_TYPES.get(media_type.split(";")[0].strip().lower())
    if dialect is None:
        raise ServiceError(
            415,
            f"Supported media types for the PATCH method are: {', '.join(MEDIA_TYPES)}.",
            headers={"Accept-Patch": ", ".join(MEDIA_TYPES)},
        )
    if not isinstance(body, list):
        raise invalid("Request body must be a JSON array of operation objects.")
    return [_change(dialect, operation) for operation in body]


def _change(dialect: str, given: Any) -> Change:
    if not isinstance(given, dict):
        raise invalid("Operations must be JSON objects.")
    if dialect == "2.1":
        operation, path = given.get("op"), given.get("path")
        if operation not in OPERATIONS:
            raise invalid("Operation objects must contain exactly one member named 'op': add, replace or remove.")
    else:
        named = [name for name in OPERATIONS if name in given]
        if len(named) != 1:
            raise invalid("Operation objects must contain exactly one member named add, replace or remove.")
        operation, path = named[0], given[named[0]]
    if operation != "remove" and "value" not in given:
        raise invalid(f'Operation "{operation}" requires a member named "value".')
    return Change(str(operation), _name(path), given.get("value"))


def _name(path: Any) -> str:
    if not isinstance(path, str) or not path.startswith("/") or "/" in path[1:] or len(path) < 2:
        raise invalid("Invalid JSON pointer for this resource: it must be '/' and one name.")
    name = path[1:]
    if "~" in name.replace("~0", "").replace("~1", ""):
        raise invalid("Invalid JSON pointer: '~' must be followed by 0 or 1.")
    return name.replace("~1", "/").replace("~0", "~")


class Patching:
    """Applies changes to one locked image in the caller's transaction; an error leaves nothing changed."""

    def __init__(self, session: Session, asked: Access, image: Image) -> None:
        self._session, self._asked, self._image = session, asked, image
        self._properties = {
            row.name: row for row in session.exec(select(Property).where(Property.image_id == image.id))
        }

    def apply(self, changes: list[Change]) -> None:
        for change in changes:
            refuse_reserved(change.name)
            if change.operation == "remove":
                self._remove(change.name)
            else:
                self._set(change)
        check_property_count(len(self._properties))
        self._image.updated_at = now()

    def _set(self, change: Change) -> None:
        value = checked(change.name, change.value)
        if change.name not in SETTABLE:
            if change.operation == "replace" and change.name not in self._properties:
                raise conflict(f"Property {change.name} does not exist.")
            self._set_property(change.name, value)
        elif change.name == "tags":
            set_tags(self._session, self._image, value)
        else:
            self._permit(change.name, value)
            setattr(self._image, change.name, value)

    def _permit(self, name: str, value: Any) -> None:
        image = self._image
        if name in QUEUED_ONLY and image.status != "queued" and value != getattr(image, name):
            raise forbidden(f"Attribute {name} can be only replaced for a queued image.")
        if name == "owner" and value != image.owner:
            self._asked.enforce("acts_for_other_projects")
        if name == "visibility" and value != image.visibility:
            permit_visibility(self._asked, image, value)

    def _set_property(self, name: str, value: str) -> None:
        row = self._properties.get(name)
        if row is None:
            row = self._properties[name] = Property(image_id=self._image.id, name=name, value=value)
        row.value = value
        self._session.add(row)

    def _remove(self, name: str) -> None:
        if name in SETTABLE:
            raise forbidden(f"Property {name} may not be removed.")
        row = self._properties.pop(name, None)
        if row is None:
            raise conflict(f"Property {name} does not exist.")
        self._session.delete(row)
        self._session.flush()


def permit_visibility(asked: Access, image: Image, wanted: str) -> None:
    rule = {"public": "publicize_image", "community": "communitize_image"}.get(wanted)
    if rule:
        asked.enforce(rule, image)


def set_tags(session: Session, image: Image, wanted: list[str]) -> None:
    rows = {row.value: row for row in session.exec(select(Tag).where(col(Tag.image_id) == image.id))}
    for value, row in rows.items():
        if value not in wanted:
            session.delete(row)
    session.add_all(Tag(image_id=image.id, value=value) for value in wanted if value not in rows)
    session.flush()
