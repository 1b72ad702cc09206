"""Lists that are short and made at once: filtered and cut to `fields` in memory, refusing what Neutron refuses."""

from collections.abc import Iterable
from typing import Any

from api.network.ask import Asker
from api.network.errors import bad
from api.network.model.kinds import truth

CONTROLS = {"fields", "sort_key", "sort_dir", "limit", "marker", "page_reverse"}


def chosen(ask: Asker, found: Iterable[dict[str, Any]], *filters: str) -> list[dict[str, Any]]:
    """Those of `found` that the query's filters let through; 400 for a filter that is none of `filters`."""
    query = ask.request.query_params
    rows = list(found)
    for name in dict.fromkeys(query.keys()):
        if name not in CONTROLS:
            if name not in filters:
                raise bad(f"['{name}'] is invalid attribute for filtering")
            rows = [row for row in rows if _matches(row.get(name), query.getlist(name))]
    return [named(ask, row) for row in rows]


def _matches(value: Any, wanted: list[str]) -> bool:
    if isinstance(value, bool):
        return value in [truth(one) for one in wanted]
    return str(value) in wanted


def named(ask: Asker, shown: dict[str, Any]) -> dict[str, Any]:
    """`shown` without what the query's `fields` do not name; all of it when they name nothing."""
    fields = set(ask.texts("fields"))
    return {name: value for name, value in shown.items() if not fields or name in fields}
