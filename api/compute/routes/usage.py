"""What projects used in a period (Compute API reference, "Usage reports"), from the servers' records."""

from datetime import datetime
from typing import Any

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from sqlalchemy import RowMapping, or_, select

from api.common import parsers
from api.compute.call import Call, ComputeCall
from api.compute.errors import bad_request
from api.compute.paging import MAX_LIMIT, Page
from api.compute.validation import check_query
from api.compute.views.states import micro
from infra.tables.compute import Instance, now

router = APIRouter()
columns = Instance.__table__.c  # type: ignore[attr-defined]
RULE = "os_compute_api:os-simple-tenant-usage:"


class Period:
    """`start` and `end` of the query, UTC; both default to now. 400 unless the start lies before the end."""

    def __init__(self, call: ComputeCall) -> None:
        self.start, self.stop = (self._moment(call.query.get(name)) for name in ("start", "end"))
        if self.start >= self.stop:
            raise bad_request("Invalid start time. The start time cannot occur after the end time.")
        self.stop = min(self.stop, now())

    @staticmethod
    def _moment(text: str | None) -> datetime:
        if not text:
            return now()
        try:
            return parsers.moment(text)
        except parsers.Malformed:
            raise bad_request("Invalid datetime string: Datetime is in invalid format") from None

    def hours(self, row: RowMapping) -> float:
        end: datetime = min(self.stop, row["deleted_at"] or self.stop)
        begin: datetime = max(self.start, row["launched_at"])
        return max((end - begin).total_seconds() / 3600.0, 0.0)


@router.get("/os-simple-tenant-usage")
def list_usage(call: Call) -> Response:
    """Usage of every project; `detailed=1` names the servers."""
    check_query(call, "start", "end", "detailed", "limit", "marker")
    call.enforce(RULE + "list")
    detailed = call.query.get("detailed", "0").lower() in ("1", "true")
    usages, links = _usage(call, None, "/os-simple-tenant-usage", detailed=detailed)
    return JSONResponse({"tenant_usages": usages} | ({"tenant_usages_links": links} if links else {}))


@router.get("/os-simple-tenant-usage/{project_id}")
def show_usage(call: Call, project_id: str) -> Response:
    """Usage of one project, server by server."""
    check_query(call, "start", "end", "limit", "marker")
    call.enforce(RULE + "show", project_id=project_id)
    usages, links = _usage(call, project_id, f"/os-simple-tenant-usage/{project_id}", detailed=True)
    usage = usages[0] if usages else {}
    return JSONResponse({"tenant_usage": usage} | ({"tenant_usage_links": links} if links else {}))


def _usage(
    call: ComputeCall, project_id: str | None, path: str, *, detailed: bool
) -> tuple[list[dict[str, Any]], list[dict[str, str]]]:
    period = Period(call)
    page = Page.of(call) if call.since(40) else Page(MAX_LIMIT, None)
    query = select(columns.id, columns.name, columns.project_id, columns.flavor, columns.vcpus, columns.memory_mb,
                   columns.root_gb, columns.launched_at, columns.deleted_at, columns.vm_state).where(
        columns.launched_at < period.stop, or_(columns.deleted_at.is_(None), columns.deleted_at > period.start)
    )  # fmt: skip
    if project_id is not None:
        query = query.where(columns.project_id == project_id)
    with call.db.read() as session:
        rows = list(session.execute(query.order_by(columns.id)))
    shown = page.cut(rows, "id")
    summaries: dict[str, dict[str, Any]] = {}
    for row in shown:
        _add(summaries, row._mapping, period, detailed=detailed)
    links = page.links(call, path, [row.id for row in shown]) if call.since(40) else []
    return list(summaries.values()), links


def _add(summaries: dict[str, dict[str, Any]], row: RowMapping, period: Period, *, detailed: bool) -> None:
    hours, flavor = period.hours(row), row["flavor"] or {}
    summary = summaries.setdefault(
        row["project_id"],
        {
            "tenant_id": row["project_id"],
            **({"server_usages": []} if detailed else {}),
            "total_local_gb_usage": 0.0,
            "total_vcpus_usage": 0.0,
            "total_memory_mb_usage": 0.0,
            "total_hours": 0.0,
            "start": micro(period.start),
            "stop": micro(period.stop),
        },
    )
    disk = row["root_gb"] + flavor.get("ephemeral", 0)
    summary["total_hours"] += hours
    summary["total_vcpus_usage"] += row["vcpus"] * hours
    summary["total_memory_mb_usage"] += row["memory_mb"] * hours
    summary["total_local_gb_usage"] += disk * hours
    if detailed:
        summary["server_usages"].append(
            {
                "hours": hours,
                "flavor": flavor.get("name", ""),
                "instance_id": row["id"],
                "name": row["name"],
                "tenant_id": row["project_id"],
                "memory_mb": row["memory_mb"],
                "local_gb": disk,
                "vcpus": row["vcpus"],
                "started_at": micro(row["launched_at"]),
                "ended_at": micro(row["deleted_at"]),
                "state": "terminated" if row["deleted_at"] else row["vm_state"],
                "uptime": int(((row["deleted_at"] or now()) - row["launched_at"]).total_seconds()),
            }
        )
