"""Rows of instance actions and their events."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlmodel import Session

from api.compute.call import ComputeCall
from api.compute.errors import bad_request
from api.compute.paging import MAX_LIMIT, Page
from api.compute.validation import timestamp, until
from infra.tables.compute import ActionEvent, InstanceAction

actions = InstanceAction.__table__  # type: ignore[attr-defined]
events = ActionEvent.__table__  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Window:
    """Which actions to list: a page, and bounds on when they last changed: not before `since`, before `before`."""

    page: Page = field(default_factory=lambda: Page(MAX_LIMIT, None))
    since: datetime | None = None
    before: datetime | None = None

    @classmethod
    def of(cls, call: ComputeCall) -> "Window":
        """From the query (2.58; `changes-before` 2.66); 400 for malformed values."""
        query = call.request.query_params
        since = timestamp(query["changes-since"], "changes-since") if "changes-since" in query else None
        before = timestamp(query["changes-before"], "changes-before") if "changes-before" in query else None
        if since and before and before < since:
            raise bad_request("The value of changes-since must be less than or equal to changes-before.")
        return cls(Page.of(call), since, until(before) if before else None)


def updated_at(action: InstanceAction) -> datetime:
    return action.finish_time or action.start_time


def listed(session: Session, server_id: str, window: Window) -> list[InstanceAction]:
    """Newest first."""
    query = select(InstanceAction).where(actions.c.instance_id == server_id)
    found = list(session.scalars(query.order_by(actions.c.start_time.desc(), actions.c.request_id)))
    found = [
        action
        for action in found
        if (window.since is None or updated_at(action) >= window.since)
        and (window.before is None or updated_at(action) < window.before)
    ]
    return window.page.cut(found, "request_id")


def one(session: Session, server_id: str, request_id: str) -> tuple[InstanceAction | None, list[dict[str, Any]]]:
    """An action and the rows of its events, newest first."""
    action = session.get(InstanceAction, (server_id, request_id))
    query = select(events).where(events.c.instance_id == server_id, events.c.request_id == request_id)
    rows = session.execute(query.order_by(events.c.start_time.desc(), events.c.id.desc())).mappings()
    return action, [dict(row) for row in rows]
