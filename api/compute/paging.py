"""Pages of a list: `limit` and `marker` of the query, and the link to the next page."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from api.compute.call import ComputeCall
from api.compute.errors import bad_request
from api.compute.validation import whole

MAX_LIMIT = 1000


@dataclass(frozen=True)
class Page:
    limit: int
    marker: str | None

    @classmethod
    def of(cls, call: ComputeCall) -> "Page":
        """400 for a limit that is no natural number; above the maximum, the maximum counts."""
        query = call.request.query_params
        asked = query.get("limit")
        limit = MAX_LIMIT if asked is None else min(whole(asked, "limit"), MAX_LIMIT)
        return cls(limit, query.get("marker") or None)

    def links(self, call: ComputeCall, path: str, ids: Sequence[str]) -> list[dict[str, str]]:
        """A `next` link when the page is full, else []."""
        if not ids or len(ids) < self.limit:
            return []
        query: dict[str, Any] = {**dict(call.request.query_params), "marker": ids[-1]}
        return [{"rel": "next", "href": f"{call.url(path)}?{urlencode(sorted(query.items()))}"}]

    def cut(self, rows: Sequence[Any], key: str, missing: str = "Marker {} could not be found.") -> list[Any]:
        """The page of `rows`, which are all there are, in order; 400 for a marker that is `missing`, in its words."""
        begin = 0
        if self.marker is not None:
            places = [n for n, row in enumerate(rows) if str(getattr(row, key)) == self.marker]
            if not places:
                raise bad_request(missing.format(self.marker[:64]))
            begin = places[0] + 1
        return list(rows[begin : begin + self.limit])
