"""Lists of images: filters, order and pages, all of them in the database."""

from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from sqlalchemy import ColumnElement, and_, func, or_
from sqlmodel import Session, col, select
from sqlmodel.sql.expression import SelectOfScalar
from starlette.datastructures import QueryParams

from api.common.errors import ServiceError
from api.image.access import Access
from api.image.errors import invalid
from api.image.fields import VISIBILITIES
from api.image.views import images_view
from infra.tables.image import Image, Property, Tag

DEFAULT_LIMIT, MAX_LIMIT = 25, 1000
ONE_OR_MORE = ("id", "name", "status", "disk_format", "container_format")
"""Text filters that also take `in:` with a list of values, quoted if they contain commas."""
TEXT = ("owner", "checksum", "os_hash_algo", "os_hash_value")
NUMBERS = ("min_ram", "min_disk", "size", "virtual_size")
LEAST = {"size_min": "size"}
MOST = {"size_max": "size"}
BOOLEANS = ("protected", "os_hidden")
TIMES = ("created_at", "updated_at")
NOT_FILTERS = ("limit", "marker", "sort", "sort_key", "sort_dir", "visibility", "member_status", "tag", "is_public")
SORT_KEYS: tuple[str, ...] = (
    "name",
    "status",
    "container_format",
    "disk_format",
    "size",
    "id",
    "created_at",
    "updated_at",
)
SORT_KEYS += ("min_ram", "min_disk", "owner", "visibility", "protected")
COMPARED = {
    "gt": lambda column, value: column > value,
    "gte": lambda column, value: column >= value,
    "lt": lambda column, value: column < value,
    "lte": lambda column, value: column <= value,
    "eq": lambda column, value: column == value,
    "neq": lambda column, value: column != value,
}
EMPTY: dict[str, Any] = {"name": "", "owner": "", "container_format": "", "disk_format": "", "size": -1}
"""What an absent value counts as in an order, since databases disagree on where NULL belongs."""
Order = list[tuple[str, bool]]


def list_images(session: Session, asked: Access, query: QueryParams) -> dict[str, Any]:
    """Body of one page. Source: Image API v2, list images."""
    limit = _limit(query)
    statement = select(Image).where(*conditions(asked, query))
    order = _order(query)
    if marker := query.get("marker"):
        statement = statement.where(_after(_marker(session, asked, marker), order))
    for key, descending in order:
        statement = statement.order_by(_column(key).desc() if descending else _column(key).asc())
    found = _fetch(session, statement, limit)
    again = [(name, value) for name, value in query.multi_items() if name != "marker"]
    body: dict[str, Any] = {
        "images": images_view(session, found[:limit]),
        "first": "/v2/images" + (f"?{urlencode(again)}" if again else ""),
        "schema": "/v2/schemas/images",
    }
    if len(found) > limit > 0:
        body["next"] = f"/v2/images?{urlencode([*again, ('marker', found[limit - 1].id)])}"
    return body


def _marker(session: Session, asked: Access, marker: str) -> Image:
    try:
        return asked.find(session, marker)
    except ServiceError as error:
        raise invalid(f"Invalid marker: {marker[:40]}") from error


def _fetch(session: Session, statement: SelectOfScalar[Image], limit: int) -> list[Image]:
    return list(session.exec(statement.limit(limit + 1))) if limit else []


def _limit(query: QueryParams) -> int:
    text = query.get("limit", str(DEFAULT_LIMIT))
    if not text.isdecimal():
        raise invalid("limit param must be an integer that is not negative")
    return min(int(text[:12]), MAX_LIMIT)


def conditions(asked: Access, query: QueryParams) -> list[ColumnElement[bool]]:
    if any("\0" in name + value for name, value in query.multi_items()):
        raise invalid("A filter has a character that no image can have.")
    visibility, member_status = query.get("visibility"), query.get("member_status", "accepted")
    if visibility not in (None, "all", *VISIBILITIES):
        raise invalid(f"Invalid visibility value: {str(visibility)[:40]}")
    if member_status not in ("pending", "accepted", "rejected", "all"):
        raise invalid(f"Invalid status: {member_status[:40]}")
    found = [asked.listed(visibility, member_status)]
    if "os_hidden" not in query:
        found.append(col(Image.os_hidden).is_(False))
    found += [_has_tag(tag) for tag in query.getlist("tag")]
    found += [_condition(name, value) for name, value in query.multi_items() if name not in NOT_FILTERS]
    return found


def _condition(name: str, value: str) -> ColumnElement[bool]:
    column: Any = getattr(Image, LEAST.get(name) or MOST.get(name) or name, None)
    if name in ONE_OR_MORE:
        return bool_of(column.in_(_split(value[3:])) if value.startswith("in:") else column == _one(value))
    if name in TEXT:
        return bool_of(column == value)
    if name in NUMBERS:
        return bool_of(column == _number(name, value))
    if name in LEAST:
        return bool_of(column >= _number(name, value))
    if name in MOST:
        return bool_of(column <= _number(name, value))
    if name in BOOLEANS:
        return bool_of(column.is_(_boolean(name, value)))
    if name in TIMES:
        operator, _, moment = value.partition(":")
        if operator in COMPARED:
            return bool_of(COMPARED[operator](column, _moment(moment)))
        return bool_of(column == _moment(value))
    return col(Image.id).in_(select(Property.image_id).where(Property.name == name, Property.value == value))


def bool_of(condition: Any) -> ColumnElement[bool]:
    found: ColumnElement[bool] = condition
    return found


def _has_tag(tag: str) -> ColumnElement[bool]:
    return col(Image.id).in_(select(Tag.image_id).where(Tag.value == tag))


def _one(value: str) -> str:
    return value[3:] if value.startswith("eq:") else value


def _split(text: str) -> list[str]:
    """Values between commas; in double quotes a value may contain commas, and a backslash takes the next sign."""
    values, current, quoted, signs = [], "", False, iter(text)
    for sign in signs:
        if sign == "\\" and quoted:
            current += next(signs, "")
        elif sign == '"':
            quoted = not quoted
        elif sign == "," and not quoted:
            values.append(current)
            current = ""
        else:
            current += sign
    if quoted:
        raise invalid("Invalid filter value: the quotes are not closed.")
    return [*values, current]


def _number(name: str, value: str) -> int:
    if not value.isdecimal() or len(value) > 18:
        raise invalid(f"Bad value passed to filter {name}: it is not a whole number.")
    return int(value)


def _boolean(name: str, value: str) -> bool:
    if value.lower() not in ("true", "false", "1", "0", "t", "f", "yes", "no", "y", "n", "on", "off"):
        raise invalid(f"Bad value passed to filter {name}: it is not a boolean.")
    return value.lower() in ("true", "1", "t", "yes", "y", "on")


def _moment(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise invalid(f"Bad value passed to a time filter: {text[:40]}") from error
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _order(query: QueryParams) -> Order:
    """(sort key, descending) pairs; the newest first unless asked otherwise, ids decide between equals."""
    if "sort" in query:
        if "sort_key" in query or "sort_dir" in query:
            raise invalid("Old and new sorting syntax cannot be combined")
        pairs = [
            (key, way or "desc") for key, _, way in (part.strip().partition(":") for part in query["sort"].split(","))
        ]
    else:
        keys, ways = query.getlist("sort_key") or ["created_at"], query.getlist("sort_dir") or ["desc"]
        if len(ways) not in (1, len(keys)):
            raise invalid("Number of sort dirs does not match the number of sort keys")
        pairs = list(zip(keys, ways if len(ways) == len(keys) else ways * len(keys), strict=True))
    for key, way in pairs:
        if key not in SORT_KEYS:
            raise invalid(f"Invalid sort key: {key[:40]}. It must be one of the following: {', '.join(SORT_KEYS)}.")
        if way not in ("asc", "desc"):
            raise invalid(f"Invalid sort direction: {way[:40]}")
    named = [key for key, _ in pairs]
    pairs += [(key, pairs[-1][1]) for key in ("created_at", "id") if key not in named]
    return [(key, way == "desc") for key, way in pairs]


def _column(key: str) -> Any:
    column: Any = getattr(Image, key)
    return func.coalesce(column, EMPTY[key]) if key in EMPTY else column


def _after(marker: Image, order: Order) -> ColumnElement[bool]:
    """What comes behind the marker in this order."""
    behind: list[ColumnElement[bool]] = []
    equal: list[ColumnElement[bool]] = []
    for key, descending in order:
        column, value = _column(key), getattr(marker, key)
        value = EMPTY[key] if value is None else value
        behind.append(and_(*equal, column < value if descending else column > value))
        equal.append(column == value)
    return or_(*behind)
