"""Pages of short lists: they are sorted and cut in memory. Source: Block Storage API v3, "Volume types", "Messages"."""

from collections.abc import Sequence
from typing import Any, Protocol, TypeVar
from urllib.parse import quote, urlencode

from fastapi import Request

from api.common.errors import ServiceError
from api.common.request_head import public_url
from api.volume.errors import invalid_input
from api.volume.filters import number

MAXIMUM = 1000


class Identified(Protocol):
    @property
    def id(self) -> str: ...


Row = TypeVar("Row", bound=Identified)


def order(query: dict[str, str], known: Sequence[str]) -> dict[str, bool]:
    """Which of the `known` keys to sort by, each once, with whether it descends; 400 for another key or direction."""
    text = query.get("sort")
    if text is not None and ("sort_key" in query or "sort_dir" in query):
        raise ServiceError(
            400, "The 'sort_key' and 'sort_dir' parameters are deprecated and cannot be used with 'sort'."
        )
    if text is None:
        text = f"{query.get('sort_key', 'created_at')}:{query.get('sort_dir', 'desc')}"
    found: dict[str, bool] = {}
    for part in text.split(","):
        key, _, direction = part.strip().partition(":")
        key, direction = key.strip().removeprefix("display_"), direction.strip() or "desc"
        if direction not in ("asc", "desc"):
            raise invalid_input("Unknown sort direction, must be one of: asc, desc.")
        if key not in known:
            raise invalid_input(f"Sort key supplied is invalid: {key[:60]}")
        found.setdefault(key, direction == "desc")
    return found


def limit(query: dict[str, str]) -> int:
    return min(number(query.get("limit"), "limit", MAXIMUM), MAXIMUM)


def page(query: dict[str, str], rows: Sequence[Row], known: Sequence[str], missing: str) -> tuple[list[Row], bool]:
    """The rows that the query asks for, and whether the page is full: Cinder then links to the next one, which may be
    empty. 404 with the words of `missing` for a marker that is none of them. Rows of one moment are in
    the order of their ids."""
    found = list(rows)
    for key, descends in reversed([*order(query, known).items(), ("id", True)]):
        found.sort(key=lambda row: _comparable(getattr(row, key)), reverse=descends)
    if marker := query.get("marker"):
        place = next((n for n, row in enumerate(found) if row.id == marker), None)
        if place is None:
            raise ServiceError(404, missing.format(marker[:64]))
        found = found[place + 1 :]
    found = found[number(query.get("offset"), "offset", 0) :]
    most = limit(query)
    return found[:most], len(found) >= most > 0


def _comparable(value: Any) -> tuple[bool, Any]:
    return value is not None, "" if value is None else value


def next_link(request: Request, last_id: str) -> list[dict[str, str]]:
    """Where the page after the one that ends with `last_id` is."""
    query = {name: value for name, value in request.query_params.items() if name not in ("marker", "offset")}
    query["marker"] = last_id
    return [{"rel": "next", "href": f"{public_url(quote(request.url.path))}?{urlencode(query)}"}]
