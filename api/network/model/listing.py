"""GET of a collection: filters, fields, sorting, pages and their links, as Neutron's query strings spell them."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

from sqlalchemy import ColumnElement, and_, func, not_, or_, true
from sqlmodel import Session, col, select

from api.network.ask import Asker
from api.network.errors import bad
from api.network.model import shares
from api.network.model.kinds import Kind, View, find, truth
from infra.tables.network import Standard, Tag

CONTROLS = {"fields", "sort_key", "sort_dir", "limit", "marker", "page_reverse", "verbose"}
TAG_FILTERS = {"tags", "tags-any", "not-tags", "not-tags-any"}


def page(session: Session, ask: Asker, kind: Kind[Any]) -> dict[str, Any]:
    """`{"ports": […]}` that the request's query asks for, and `ports_links` when it has a limit: a full page has both
    neighbours, as in Neutron, which does not look whether there is more. A marker without a limit says nothing.

    Raises 400 for an attribute that cannot be filtered or sorted by, 404 for an unknown marker."""
    query = select(kind.table).where(kind.within)
    if not (ask.sees_all and (ask.lists_all or _named(ask, kind))):
        query = query.where(kind.visible(ask.project_id))
    for clause in _clauses(ask, kind):
        query = query.where(clause)
    limit, backwards = _limit(ask), _flag(ask, "page_reverse")
    order = [(column, up != backwards) for column, up in _order(ask, kind)]
    if limit and (marker := ask.request.query_params.get("marker")):
        query = query.where(_after(order, find(session, ask, kind, marker)))
    query = query.order_by(*(column.asc() if up else column.desc() for column, up in order))
    rows = list(session.exec(query.limit(limit) if limit else query))
    if backwards:
        rows.reverse()
    view = View(ask.sees_all, frozenset(ask.texts("fields")), ask.project_id)
    shown = kind.render(session, rows, view)
    if view.fields:
        shown = [{name: value for name, value in one.items() if name in view.fields} for one in shown]
    links = _links(ask, rows, len(rows) == limit, backwards) if limit else []
    return {kind.collection: shown} | ({f"{kind.collection}_links": links} if links else {})


def _clauses(ask: Asker, kind: Kind[Any]) -> Iterator[ColumnElement[bool]]:
    query = ask.request.query_params
    for name in dict.fromkeys(query.keys()):
        if name in CONTROLS:
            continue
        if name in TAG_FILTERS and kind.taggable:
            yield _tagged(kind, name, ",".join(query.getlist(name)).split(","))
        elif name == "shared" and kind.shareable:
            yield _shared(ask, kind, query.getlist(name))
        elif name in kind.filters and (ask.sees_all or name not in kind.private):
            yield kind.filters[name](query.getlist(name))
        else:
            raise bad(f"['{name}'] is invalid attribute for filtering")


def _named(ask: Asker, kind: Kind[Any]) -> bool:
    """Whether the query names what it seeks. An empty name is that of everything without one."""
    query = ask.request.query_params
    return any(all(query.getlist(name)) for name in kind.named_by & query.keys())


def _shared(ask: Asker, kind: Kind[Any], values: list[str]) -> ColumnElement[bool]:
    usable = col(kind.table.id).in_(shares.usable(ask.project_id))
    wanted = {truth(value) for value in values}
    return or_(*(usable if one else not_(usable) for one in wanted))


def _tagged(kind: Kind[Any], name: str, tags: list[str]) -> ColumnElement[bool]:
    wanted = list(dict.fromkeys(tags))
    matches = select(func.count()).select_from(Tag)
    matches = matches.where(col(Tag.resource_id) == col(kind.table.id), col(Tag.tag).in_(wanted))
    count = matches.scalar_subquery()
    if name.endswith("any"):
        return count > 0 if name == "tags-any" else count == 0
    return count == len(wanted) if name == "tags" else count < len(wanted)


def _limit(ask: Asker) -> int:
    given = ask.request.query_params.get("limit", "0")
    if not given.isdecimal() or len(given) > 9:
        words = f"Bad limit request: Limit must be an integer 0 or greater and not '{given[:64]}'."
        raise bad(words, "BadRequest")
    return int(given)


def _flag(ask: Asker, name: str) -> bool:
    return ask.request.query_params.get(name, "").lower() == "true"


def _order(ask: Asker, kind: Kind[Any]) -> list[tuple[Any, bool]]:
    """Columns to sort by and whether upwards; the id comes last, so that the order is total."""
    keys, directions = ask.texts("sort_key"), ask.texts("sort_dir")
    if len(keys) != len(directions):
        raise bad("The number of sort_keys and sort_dirs must be same")
    hidden = set() if ask.sees_all else kind.private
    if absent := [key for key in keys if key not in kind.sortable or key in hidden]:
        raise bad(f"{absent} is invalid attribute for sort_keys")
    if wrong := [text for text in directions if text not in ("asc", "desc")]:
        raise bad(f"{wrong} is invalid value for sort_dirs, valid value is 'asc' and 'desc'")
    order = [(kind.sortable[key], up == "asc") for key, up in zip(keys, directions, strict=True)]
    return order if "id" in keys else [*order, (col(kind.table.id), True)]


def _after(order: list[tuple[Any, bool]], marker: Standard) -> ColumnElement[bool]:
    """Rows behind `marker` in `order`: equal in the first columns and beyond it in the next."""
    places: list[ColumnElement[bool]] = []
    equal: ColumnElement[bool] = true()
    for column, up in order:
        value = getattr(marker, column.key)
        places.append(and_(equal, column > value if up else column < value))
        equal = and_(equal, column == value)
    return or_(*places)


def _links(ask: Asker, rows: list[Any], full: bool, backwards: bool) -> list[dict[str, str]]:
    links = []
    if full or backwards:
        links.append({"rel": "next", "href": _link(ask, rows[-1:], [])})
    if full or not backwards:
        links.append({"rel": "previous", "href": _link(ask, rows[:1], [("page_reverse", "True")])})
    return links


def _link(ask: Asker, marker: list[Any], extra: list[tuple[str, str]]) -> str:
    kept = [(k, v) for k, v in ask.request.query_params.multi_items() if k not in ("marker", "page_reverse")]
    return str(ask.request.url.replace(query=urlencode([*kept, *(("marker", row.id) for row in marker), *extra])))
