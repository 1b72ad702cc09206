"""Servers by filter, order and page: portable SQL for what SQL can do, Python for patterns and JSON columns."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, Select, and_, func, or_, select
from sqlmodel import Session

from api.compute.errors import bad_request
from api.compute.paging import Page
from api.compute.records.instances import COLUMNS, table

Predicate = Callable[[RowMapping], bool]
QUANTIFIED_GROUP = re.compile(r"\)\s*[*+?{]")
EPOCH = datetime(1970, 1, 1)
MANY = 400  # ids in one IN list


@dataclass
class Search:
    """`clauses` go to the store; `predicates` look at a row's `columns` afterwards."""

    clauses: list[ColumnElement[bool]] = field(default_factory=list)
    predicates: list[Predicate] = field(default_factory=list)
    columns: set[str] = field(default_factory=set)
    order: list[tuple[str, bool]] = field(default_factory=lambda: [("created_at", True)])  # column, descending

    def by(self, predicate: Predicate, *columns: str) -> None:
        self.predicates.append(predicate)
        self.columns.update(columns)

    def matching(self, column: str, pattern: str) -> None:
        """Rows whose `column` has a match of the regular expression `pattern`."""
        if not re.search(r"[\\^$.|?*+()\[\]{}]", pattern):
            self.by(lambda row: pattern in (row[column] or ""), column)
            self.clauses.append(table.c[column].contains(pattern, autoescape=True))
            return
        sought = bounded(pattern)
        self.by(lambda row: bool(sought.search(str(row[column] or ""))), column)


def bounded(pattern: str) -> re.Pattern[str]:
    """`pattern` compiled; 400 for a malformed one, and for one that could take long on a short text."""
    inner = re.sub(r"^\^?(\.\*\??)+|(?<!\\)(\.\*\??)+\$?$", "", pattern)  # at the ends they change nothing
    loops, choices = len(re.findall(r"(?<!\\)[*+{]", inner)), len(re.findall(r"(?<!\\)[?|]", inner))
    hard = QUANTIFIED_GROUP.search(pattern) or re.search(r"\\\d|\(\?", pattern)
    if len(pattern) > 255 or loops > 2 or choices > 8 or hard:
        raise bad_request("Invalid input for query parameters. The regular expression is too complex.")
    found = compiled(inner or pattern)
    if found is None:
        raise bad_request("Invalid input for query parameters. It is not a 'regex'")
    return found


def compiled(pattern: str) -> re.Pattern[str] | None:
    """None for what is no regular expression, or is nested deeper than Python follows."""
    try:
        return re.compile(pattern)
    except (re.error, OverflowError, RecursionError):
        return None


def run(session: Session, search: Search, page: Page) -> list[RowMapping]:
    """The page's rows in order; 400 for an unknown marker."""
    falling = search.order[0][1]
    named: dict[str, bool] = {}
    for name, descending in [*search.order, ("created_at", falling), ("id", falling)]:
        named.setdefault(name, descending)
    keys = [(_comparable(name), descending) for name, descending in named.items()]
    order = [key.desc() if descending else key.asc() for key, descending in keys]
    clauses = list(search.clauses)
    if page.marker is not None:
        clauses.append(_after(session, page.marker, keys))
    if not search.predicates:
        query: Select[Any] = select(*COLUMNS).where(*clauses).order_by(*order).limit(page.limit)
        return list(session.execute(query).mappings())
    ids = _matching_ids(
        session,
        select(table.c.id, *(table.c[name] for name in search.columns - {"id"})).where(*clauses).order_by(*order),
        search.predicates,
        page.limit,
    )
    rows: dict[str, RowMapping] = {}
    for begin in range(0, len(ids), MANY):
        chunk = select(*COLUMNS).where(table.c.id.in_(ids[begin : begin + MANY]))
        rows.update({row["id"]: row for row in session.execute(chunk).mappings()})
    return [rows[each] for each in ids if each in rows]


def _matching_ids(session: Session, query: Select[Any], predicates: list[Predicate], limit: int) -> list[str]:
    ids: list[str] = []
    for row in session.execute(query).mappings():
        if len(ids) >= limit:
            break
        if all(holds(row) for holds in predicates):
            ids.append(row["id"])
    return ids


def _comparable(name: str) -> ColumnElement[Any]:
    """The column with its nulls replaced, so that order and paging agree on both stores."""
    column: ColumnElement[Any] = table.c[name]
    if not table.c[name].nullable:
        return column
    kind = table.c[name].type.python_type
    return func.coalesce(column, EPOCH if kind is datetime else 0 if kind in (int, bool) else "")


def _after(session: Session, marker: str, keys: list[tuple[ColumnElement[Any], bool]]) -> ColumnElement[bool]:
    values = session.execute(select(*(key for key, _ in keys)).where(table.c.id == marker)).one_or_none()
    if values is None:
        raise bad_request(f"marker [{marker[:64]}] not found")
    steps: list[ColumnElement[bool]] = []
    for n, (key, descending) in enumerate(keys):
        beyond = key < values[n] if descending else key > values[n]
        steps.append(and_(*(earlier == values[i] for i, (earlier, _) in enumerate(keys[:n])), beyond))
    return or_(*steps)
