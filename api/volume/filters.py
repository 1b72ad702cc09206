"""Query parameters of lists: which filters each resource has, and what their values mean.

Anything else is refused (since 3.31), ignored (before), or matches nothing (administrators), exactly as in Cinder."""

import ast
import re
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement
from sqlmodel import col

from api.common.errors import ServiceError
from api.volume.errors import invalid_input
from api.volume.microversion import Version
from api.volume.schemas import FALSE, TRUE
from infra.tables.volume import Snapshot, Volume

RESOURCES: dict[str, tuple[str, ...]] = {
    "volume": (
        "name~",
        "status~",
        "metadata",
        "bootable",
        "migration_status",
        "availability_zone~",
        "group_id",
        "size",
        "created_at",
        "updated_at",
        "consumes_quota",
    ),
    "backup": ("name", "status", "volume_id"),
    "snapshot": ("name~", "status~", "volume_id", "metadata", "consumes_quota"),
    "group": ("name",),
    "group_snapshot": ("name", "status", "group_id"),
    "attachment": ("volume_id", "status", "instance_id", "attach_status"),
    "message": ("resource_uuid", "resource_type", "event_id", "request_id", "message_level"),
    "pool": ("name", "volume_type"),
    "volume_type": ("is_public", "extra_specs"),
}
"""As /resource_filters tells it: `x~` means that both `x` and `x~` (contains) may be asked."""
CONTROL = ("all_tenants", "limit", "marker", "offset", "sort", "sort_key", "sort_dir", "with_count", "project_id")
IGNORED = ("glance_metadata", "no_migration_targets")
ADMIN_COLUMNS = ("id", "user_id", "snapshot_id", "source_volid", "volume_type_id", "multiattach", "description")
SINCE: dict[str, Version] = {
    "created_at": (3, 60),
    "updated_at": (3, 60),
    "group_id": (3, 10),
    "consumes_quota": (3, 65),
}
COMPARE = re.compile(r"(gt|gte|eq|neq|lt|lte):(.{1,40})")
LONGEST = 4096


def boolean(text: str, name: str) -> bool:
    if text.lower() in TRUE:
        return True
    if text.lower() in FALSE:
        return False
    raise ServiceError(400, f"Value '{text[:40]}' for '{name}' is not a boolean.")


def whole(value: object) -> int | None:
    """A whole number, also as text in ASCII digits; None for anything else."""
    if isinstance(value, str) and re.fullmatch(r"[+-]?[0-9]{1,18}", value):
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def number(text: str | None, name: str, default: int) -> int:
    """A parameter of paging; 400 unless it is a number that is not negative."""
    if text is None or text == "":
        return default
    found = whole(text)
    if found is None:
        raise invalid_input(f"{name} param must be an integer")
    if found < 0:
        raise invalid_input(f"{name} param must be positive")
    return min(found, 2**31 - 1)


def understood(resource: str, name: str, version: Version) -> bool:
    if version < SINCE.get(name, (3, 0)):
        return False
    if name.endswith("~"):
        return version >= (3, 34) and name in RESOURCES[resource]
    return name in RESOURCES[resource] or f"{name}~" in RESOURCES[resource]


def sort_out(resource: str, given: dict[str, str], version: Version, is_admin: bool) -> dict[str, str] | None:
    """The filters to apply; None when an administrator asked for one that no row can have."""
    found: dict[str, str] = {}
    strange: list[str] = []
    for name, value in given.items():
        if name in CONTROL + IGNORED:
            continue
        if understood(resource, name, version) or (is_admin and name in ADMIN_COLUMNS):
            found[name] = value
        elif version >= SINCE.get(name, (3, 0)):
            strange.append(name)
    if strange and is_admin:
        return None
    if strange and version >= (3, 31):
        names = ",".join(name[:64] for name in strange[:10])
        raise ServiceError(400, f"Invalid filters {names} are found in query options.")
    return found


def condition(kind: type[Volume] | type[Snapshot], name: str, value: str) -> ColumnElement[bool] | bool:
    """What a filter asks of a row's columns; False for what no row has (a group, a migration)."""
    column: Any = getattr(kind, name.removesuffix("~"), None)
    if name in ("created_at", "updated_at"):
        return _times(column, name, value)
    if name == "consumes_quota":
        return boolean(value, name)
    if name in ("group_id", "migration_status") or column is None:
        return False
    if name.endswith("~"):
        return bool_of(col(column).contains(value, autoescape=True))
    if name in ("bootable", "multiattach"):
        return bool_of(col(column) == boolean(value, name))
    if name == "size":
        size = whole(value)
        return bool_of(col(column) == size) if size is not None and abs(size) < 2**31 else False
    return bool_of(col(column) == value)


def bool_of(expression: Any) -> ColumnElement[bool]:
    found: ColumnElement[bool] = expression
    return found


def _times(column: Any, name: str, value: str) -> ColumnElement[bool]:
    """`gt:2016-01-01T00:00:00,lt:…` (since 3.60)."""
    found: ColumnElement[bool] | None = None
    for part in value.split(",")[:8]:
        match = COMPARE.fullmatch(part.strip())
        if not match:
            raise invalid_input(f"Invalid {name} value")
        moment = _moment(match[2])
        tests = {
            "gt": column > moment,
            "gte": column >= moment,
            "eq": column == moment,
            "neq": column != moment,
            "lt": column < moment,
            "lte": column <= moment,
        }
        found = tests[match[1]] if found is None else found & tests[match[1]]
    assert found is not None
    return found


def _moment(text: str) -> datetime:
    """The UTC time; 400 for none, or for one that an offset moves out of the calendar (years 1 and 9999)."""
    try:
        moment = datetime.fromisoformat(text)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise invalid_input(f"Invalid {text[:40]} value") from error


def metadata(text: str | None) -> dict[str, str]:
    """`{'key': 'value'}`, as Python or JSON write it. Cinder evaluates a literal, so do we, within bounds."""
    if not text:
        return {}
    try:
        wanted = ast.literal_eval(text) if len(text) <= LONGEST else None
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError) as error:
        raise invalid_input("Invalid metadata filter.") from error
    if not isinstance(wanted, dict):
        raise invalid_input("Invalid metadata filter.")
    return {str(key): str(value) for key, value in wanted.items()}
