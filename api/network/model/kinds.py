"""What lists, shows and errors need to know about a kind of resource, and finding one of it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, true
from sqlmodel import Session, col, select

from api.common.errors import ServiceError
from api.network.ask import Asker
from api.network.errors import invalid
from infra.tables.network import Standard, Tag

R = TypeVar("R", bound=Standard)
T = TypeVar("T")
Clause = Callable[[list[str]], ColumnElement[bool]]
"""A filter: the values that the query gives for an attribute, any of which may match -> a condition."""


@dataclass(frozen=True)
class View:
    """Who looks, and which attributes were asked for (none named: all)."""

    sees_all: bool
    fields: frozenset[str] = frozenset()
    project_id: str = ""

    def wants(self, attribute: str) -> bool:
        return not self.fields or attribute in self.fields


@dataclass(frozen=True)
class Kind(Generic[R]):
    """`private` attributes exist for callers that see all; `visible` is the condition for a project's members.

    `shareable`: RBAC policies can share it, so that lists can be filtered by `shared`. `taggable`: it has tags, so that
    they can be by `tags`. `within`: what belongs to the kind at all, for resources below another one. `named_by`:
    filters that name what is sought, by an unguessable id."""

    member: str
    collection: str
    table: type[R]
    missing: tuple[str, str]
    visible: Callable[[str], ColumnElement[bool]]
    render: Callable[[Session, Sequence[R], View], list[dict[str, Any]]]
    filters: Mapping[str, Clause]
    sortable: Mapping[str, Any]
    private: frozenset[str] = frozenset()
    unfiltered: frozenset[str] = field(default=frozenset())
    shareable: bool = False
    taggable: bool = True
    named_by: frozenset[str] = frozenset({"id"})
    within: ColumnElement[bool] = field(default_factory=true)

    @property
    def attributes(self) -> frozenset[str]:
        """Every attribute that a resource of this kind shows."""
        return self.unfiltered | self.filters.keys() | {"created_at", "updated_at", "tags"}

    def not_found(self, resource_id: str) -> ServiceError:
        kind, words = self.missing
        return ServiceError(404, words.format(resource_id), title=kind)


def find(session: Session, ask: Asker, kind: Kind[R], resource_id: str) -> R:
    """The resource; 404 in Neutron's words when there is none that the caller may see."""
    query = select(kind.table).where(kind.within, col(kind.table.id) == resource_id)
    if not ask.sees_all:
        query = query.where(kind.visible(ask.project_id))
    row = session.exec(query).first()
    if row is None:
        raise kind.not_found(resource_id)
    return row


def show(session: Session, ask: Asker, kind: Kind[R], row: R) -> dict[str, Any]:
    """`{"port": {…}}` of one resource, with the attributes that the query's `fields` name."""
    view = View(ask.sees_all, frozenset(ask.texts("fields")), ask.project_id)
    shown = kind.render(session, [row], view)[0]
    return {kind.member: {name: value for name, value in shown.items() if view.wants(name)}}


def text(column: Any) -> Clause:
    return lambda values: column.in_(values)


TRUTHS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


def truth(value: str) -> bool:
    """A query's boolean; 400 for what is none."""
    if value.lower() not in TRUTHS:
        raise invalid(f"'{value[:64]}' cannot be converted to boolean")
    return TRUTHS[value.lower()]


def boolean(column: Any) -> Clause:
    def clause(values: list[str]) -> ColumnElement[bool]:
        found: ColumnElement[bool] = column.in_([truth(value) for value in values])
        return found

    return clause


def number(column: Any) -> Clause:
    def clause(values: list[str]) -> ColumnElement[bool]:
        if wrong := [value for value in values if not value.isdecimal() or len(value) > 9]:
            raise invalid(f"'{wrong[0][:64]}' is not an integer")
        found: ColumnElement[bool] = column.in_([int(value) for value in values])
        return found

    return clause


def standard_filters(table: Any) -> dict[str, Clause]:
    return {
        "id": text(table.id),
        "project_id": text(table.project_id),
        "tenant_id": text(table.project_id),
        "description": text(table.description),
        "revision_number": number(table.revision_number),
    }


def standard_sort(table: Any) -> dict[str, Any]:
    names = ("id", "project_id", "description", "created_at", "updated_at", "revision_number")
    return {name: getattr(table, name) for name in names} | {"tenant_id": table.project_id}


def standard(row: Standard, tags: Sequence[str] | None) -> dict[str, Any]:
    """The attributes that every resource shows; times as Neutron writes them."""
    shown = {
        "tenant_id": row.project_id,
        "project_id": row.project_id,
        "description": row.description,
        "revision_number": row.revision_number,
        "created_at": row.created_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "updated_at": row.updated_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    return shown if tags is None else shown | {"tags": list(tags)}


def batches(items: Sequence[T], size: int = 500) -> Iterator[Sequence[T]]:
    """Parts small enough for one IN clause on either database."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def tags_of(session: Session, rows: Sequence[Standard]) -> dict[str, list[str]]:
    tags: dict[str, list[str]] = {row.id: [] for row in rows}
    for ids in batches(list(tags)):
        for tag in session.exec(select(Tag).where(col(Tag.resource_id).in_(ids)).order_by(Tag.tag)):
            tags[tag.resource_id].append(tag.tag)
    return tags
