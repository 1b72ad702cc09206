"""Paging, sorting and filtering of lists: `limit`, `marker`, `offset`, `sort`, and fields as query parameters."""

import ast
from collections.abc import Sequence
from typing import Any, TypeVar
from urllib.parse import urlencode

from fastapi import Request
from sqlalchemy import Select
from sqlmodel import Session, col, select

from api.common.context import Context
from api.common.errors import ServiceError
from api.common.policy import Policy
from api.volume.errors import invalid_input
from infra.settings import Settings
from infra.tables.volume import Snapshot, Volume

MAXIMUM = 1000
Row = TypeVar("Row", Volume, Snapshot)
TEXT_FILTERS = ("id", "name", "status", "user_id", "volume_id", "snapshot_id", "source_volid", "availability_zone")
SORT_KEYS = ("id", "name", "status", "size", "created_at", "updated_at", "bootable", "availability_zone", "volume_id")
TRUE, FALSE = ("1", "t", "true", "on", "y", "yes"), ("0", "f", "false", "off", "n", "no")


def boolean(text: str, name: str) -> bool:
    if text.lower() in TRUE:
        return True
    if text.lower() in FALSE:
        return False
    raise invalid_input(f"Invalid {name} filter: {text[:40]}.")


def number(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name, "")
    if not text:
        return default
    if not text.isdigit():
        raise invalid_input(f"{name} must be a number that is not negative.")
    return int(text)


class Listing:
    """One list request of `kind` (the table), answered within what the caller may see."""

    def __init__(self, request: Request, caller: Context, policy: Policy, kind: type[Row]) -> None:
        self._request = request
        self._kind: type[Volume] | type[Snapshot] = kind
        self._query = request.query_params
        self._limit = min(number(request, "limit", MAXIMUM), MAXIMUM)
        self._more = False
        self._scope = self._projects(caller, policy)

    def _projects(self, caller: Context, policy: Policy) -> list[Any]:
        project = col(self._kind.project_id)
        every = boolean(self._query.get("all_tenants") or "0", "all_tenants")
        if not (every and policy.allows(caller, "volume:get_all_projects")):
            return [project == caller.project_id]
        wanted = self._query.get("project_id")
        return [project == wanted] if wanted else []

    def _conditions(self) -> list[Any]:
        found = list(self._scope)
        for name in TEXT_FILTERS:
            if name in self._query and hasattr(self._kind, name):
                found.append(getattr(self._kind, name) == self._query[name])
        if (part := self._query.get("name~")) is not None:
            found.append(col(self._kind.name).contains(part, autoescape=True))
        if "bootable" in self._query:
            found.append(self._kind.bootable == boolean(self._query["bootable"], "bootable"))
        return found

    def _order(self) -> list[Any]:
        text = self._query.get("sort") or ""
        if not text and "sort_key" in self._query:
            text = f"{self._query['sort_key']}:{self._query.get('sort_dir', 'desc')}"
        columns = []
        for part in (text or "created_at:desc").split(","):
            key, _, direction = part.strip().partition(":")
            if key not in SORT_KEYS or not hasattr(self._kind, key) or direction not in ("", "asc", "desc"):
                raise invalid_input(f"Sort key or direction is not valid: {part.strip()[:60]}.")
            column = getattr(self._kind, key)
            columns.append(column.asc() if direction == "asc" else column.desc())
        return [*columns, col(self._kind.id).desc()]

    def _metadata(self) -> dict[str, str]:
        text = self._query.get("metadata")
        if not text:
            return {}
        try:
            wanted = ast.literal_eval(text)
        except (ValueError, SyntaxError) as error:
            raise invalid_input("Invalid metadata filter.") from error
        if not isinstance(wanted, dict):
            raise invalid_input("Invalid metadata filter.")
        return {str(k): str(v) for k, v in wanted.items()}

    def page(self, session: Session) -> Sequence[Volume | Snapshot]:
        query: Select[Any] = select(self._kind).where(*self._conditions()).order_by(*self._order())
        rows = list(session.execute(query).scalars())
        if wanted := self._metadata():
            rows = [row for row in rows if wanted.items() <= row.properties.items()]
        if marker := self._query.get("marker"):
            place = next((i for i, row in enumerate(rows) if row.id == marker), None)
            if place is None:
                raise ServiceError(404, f"{self._kind.__name__} {marker[:64]} could not be found.")
            rows = rows[place + 1 :]
        rows = rows[number(self._request, "offset", 0) :]
        self._more = len(rows) > self._limit > 0
        return rows[: self._limit]

    def links(self, settings: Settings, rows: Sequence[Volume | Snapshot]) -> list[dict[str, str]]:
        """A link to the next page where there is one."""
        if not self._more:
            return []
        query = {k: v for k, v in self._query.items() if k not in ("marker", "offset")} | {"marker": rows[-1].id}
        return [{"rel": "next", "href": f"{settings.url('volume', self._request.url.path)}?{urlencode(query)}"}]
