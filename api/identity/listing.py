"""Filters and pages of lists, as Keystone's API has them: exact, `name__contains=` and the like, marker and limit."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Select
from sqlmodel import Session, col

from api.identity.errors import Invalid, NotFound

INEXACT = ("contains", "icontains", "startswith", "istartswith", "endswith", "iendswith")
NO_WORDS = ("0", "false", "no", "off", "n", "f")
MOST_ROWS = 10_000
Row = TypeVar("Row")


@dataclass(frozen=True)
class Listing:
    """`filters` maps a query parameter to its column."""

    model: Any
    filters: Mapping[str, Any]
    params: Mapping[str, str]


def is_set(params: Mapping[str, str], name: str) -> bool:
    """A flag is on when it is present, `?nocatalog` included, unless its value says no."""
    return name in params and params[name].lower() not in NO_WORDS


def _condition(column: Any, comparison: str, value: str) -> ColumnElement[bool]:
    found: ColumnElement[bool] = getattr(col(column), comparison)(value, autoescape=True)
    return found


def _conditions(listing: Listing) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    for given, value in listing.params.items():
        name, _, comparison = given.partition("__")
        if name not in listing.filters:
            continue
        if "\x00" in value:
            raise Invalid(f"Invalid input for query parameter {name}.")
        column = listing.filters[name]
        if name == "enabled":
            found.append(col(column).is_(value.lower() not in NO_WORDS))
        elif not comparison:
            found.append(col(column) == value)
        elif comparison in INEXACT:
            found.append(_condition(column, comparison, value))
    return found


def selected(session: Session, query: Select[Any], listing: Listing) -> list[Any]:
    key = col(listing.model.id)
    query = query.where(*_conditions(listing)).order_by(key)
    if marker := listing.params.get("marker"):
        query = query.where(key > fetch(session, listing.model, "marker", marker).id)
    return list(session.scalars(query.limit(_limit(listing.params))))


def _limit(params: Mapping[str, str]) -> int:
    try:
        limit = int(params.get("limit", MOST_ROWS))
    except ValueError:
        limit = -1
    if limit < 0:
        raise Invalid("Invalid input for query parameter limit.")
    return min(limit, MOST_ROWS) or MOST_ROWS


def fetch(session: Session, model: type[Row], kind: str, wanted: str) -> Row:
    """The row with that id; 404 in Keystone's words otherwise."""
    found = None if "\x00" in wanted or len(wanted) > 255 else session.get(model, wanted)
    if found is None:
        raise NotFound(kind, wanted[:255].replace("\x00", ""))
    return found
