"""Paging, sorting and filtering of the lists of volumes and snapshots. Source: Block Storage API v3, "Volumes"."""

from collections.abc import Sequence
from typing import Any

from fastapi import Request
from sqlalchemy import Select, false
from sqlmodel import Session, col, func, select

from api.common.context import Context
from api.common.errors import ServiceError
from api.common.policy import Policy
from api.volume import filters, paging
from api.volume.filters import boolean, number, whole
from infra.settings import Settings
from infra.tables.volume import Snapshot, Volume

__all__ = ["Listing", "boolean", "number", "whole"]
SORT_KEYS = (
    *("id", "name", "description", "status", "size", "created_at", "updated_at", "bootable", "availability_zone"),
    *("volume_id", "host", "project_id", "user_id", "volume_type_id"),
)


class Listing:
    """One answer of a list. Administrators and services see every project with `all_tenants`."""

    def __init__(self, request: Request, caller: Context, policy: Policy, kind: type[Volume] | type[Snapshot]) -> None:
        self._request, self._kind = request, kind
        self._query = dict(request.query_params)
        self._resource = "volume" if kind is Volume else "snapshot"
        self._limit = paging.limit(self._query)
        self._offset = number(self._query.get("offset"), "offset", 0)
        self._wanted = filters.sort_out(self._resource, self._query, request.state.version, caller.is_admin)
        self._metadata = self._wanted_metadata()
        self._scope = self._projects(caller, policy)
        self._full, self._total = False, 0

    def _wanted_metadata(self) -> dict[str, str]:
        if self._resource == "snapshot" and self._request.state.version < (3, 22):
            return {}
        return filters.metadata((self._wanted or {}).get("metadata"))

    def _projects(self, caller: Context, policy: Policy) -> list[Any]:
        project = col(self._kind.project_id)
        every = boolean(self._query.get("all_tenants") or "0", "all_tenants")
        if not (every and policy.allows(caller, "volume:get_all_projects")):
            return [project == caller.project_id]
        wanted = self._query.get("project_id")
        return [project == wanted] if wanted else []

    def _conditions(self) -> list[Any]:
        found = list(self._scope)
        if self._wanted is None:
            return [false()]
        for name, value in self._wanted.items():
            if name != "metadata":
                test = filters.condition(self._kind, name, value)
                found.append(
                    test if not isinstance(test, bool) else (false() if not test else col(self._kind.id) != "")
                )
        return found

    def _order(self) -> list[Any]:
        keys = paging.order(self._query, SORT_KEYS)
        columns = [(getattr(self._kind, key, None), descends) for key, descends in keys.items()]
        asked = [column.desc() if descends else column.asc() for column, descends in columns if column is not None]
        return [*asked, col(self._kind.id).desc()]

    def page(self, session: Session) -> Sequence[Volume | Snapshot]:
        query: Select[Any] = select(self._kind).where(*self._conditions()).order_by(*self._order())
        marker = self._query.get("marker")
        if self._metadata or marker:
            return self._page_of_rows(list(session.execute(query).scalars()), marker)
        self._total = int(
            session.execute(select(func.count()).select_from(self._kind).where(*self._conditions())).scalar_one()
        )
        rows = list(session.execute(query.offset(self._offset).limit(self._limit)).scalars())
        self._full = len(rows) == self._limit > 0
        return rows

    def _page_of_rows(self, rows: list[Volume | Snapshot], marker: str | None) -> list[Volume | Snapshot]:
        if self._metadata:
            rows = [row for row in rows if self._metadata.items() <= row.properties.items()]
        self._total = len(rows)
        if marker:
            place = next((i for i, row in enumerate(rows) if row.id == marker), None)
            if place is None:
                raise ServiceError(404, f"{self._kind.__name__} {marker[:64]} could not be found.")
            rows = rows[place + 1 :]
        rows = rows[self._offset :]
        self._full = len(rows) >= self._limit > 0
        return rows[: self._limit]

    def totals(self, session: Session) -> tuple[int, int, dict[str, set[str]]]:
        """How many volumes match, how many GiB they have, and the values of each key of their metadata."""
        columns = select(Volume.size, Volume.properties).where(*self._conditions())
        found = session.execute(columns).all()
        values: dict[str, set[str]] = {}
        for _, properties in found:
            for key, value in properties.items():
                values.setdefault(key, set()).add(value)
        return len(found), sum(size for size, _ in found), values

    def envelope(self, settings: Settings, key: str, views: list[dict[str, Any]]) -> dict[str, Any]:
        """The list's body: of a full page with a link to the next one, which may be empty, as Cinder has it; and (3.45,
        `with_count`) how many."""
        body: dict[str, Any] = {key: views}
        if self._full:
            body[f"{key}_links"] = paging.next_link(self._request, views[-1]["id"])
        counted = self._request.state.version >= (3, 45)
        if counted and boolean(self._query.get("with_count") or "0", "with_count"):
            body["count"] = self._total
        return body
