"""Instance actions and their events: what `server event list` shows (tables instance_actions and their events)."""

import uuid
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, select, update
from sqlmodel import Session

from infra.contracts.requests import Requester
from infra.contracts.snapshot import image_id_of
from infra.contracts.step import Step
from infra.tables.compute import ActionEvent, InstanceAction, now

actions, events = InstanceAction.__table__, ActionEvent.__table__  # type: ignore[attr-defined]

OF_REQUEST = (actions.c.instance_id == bindparam("server"), actions.c.request_id == bindparam("request"))
BEGIN = insert(actions)
CLOSE = update(actions).where(*OF_REQUEST).values(finish_time=bindparam("moment"), message=bindparam("words"))
CLOSE_FIRST = CLOSE.where(actions.c.finish_time.is_(None))
FORGET = delete(events).where(events.c.instance_id == bindparam("server"), events.c.request_id == bindparam("request"))
TELL = insert(events)


def begin(store: Connection | Session, instance_id: str, requester: Requester, action: str) -> None:
    store.execute(
        BEGIN,
        {
            "instance_id": instance_id,
            "request_id": requester.request_id,
            "action": action,
            "user_id": requester.user_id,
            "project_id": requester.project_id,
        },
    )


def over(event: str, why: str | None = None) -> Step:
    """The step that writes an operation's steps, as one of them. `why`: what the operation failed for."""
    moment = datetime.now(UTC)
    return Step(event=event, start_time=moment, finish_time=moment, result="Success", details=why)


def finish(
    store: Connection | Session, instance_id: str, request_id: str, steps: list[Step], error: str | None
) -> None:
    """Close the action with its steps; writing it again changes nothing."""
    this = {"server": instance_id, "request": request_id}
    end = {**this, "moment": now(), "words": error and "Error"}
    closed = store.execute(CLOSE_FIRST, end)
    if not closed.rowcount:  # type: ignore[attr-defined]  # it was closed before; one that is open has no events yet
        store.execute(CLOSE, end)
        store.execute(FORGET, this)
    rows = [_event(instance_id, request_id, step) for step in steps]
    if rows:
        store.execute(TELL, rows)


def happened(store: Connection | Session, server: Any, action: str, step: Step) -> None:
    """What nobody asked for, shown as the owner's, and over. `server`: its id, project_id and user_id."""
    requester = Requester(
        token="", user_id=server.user_id, project_id=server.project_id, request_id=f"req-{uuid.uuid4()}"
    )
    begin(store, server.id, requester, action)
    finish(store, server.id, requester.request_id, [step], step.details if step.result == "Error" else None)


def newest(store: Connection | Session, instance_id: str) -> str | None:
    """The server's last action."""
    mine = select(actions.c.action).where(actions.c.instance_id == instance_id)
    found: str | None = store.scalar(mine.order_by(actions.c.start_time.desc()).limit(1))
    return found


def shelved_image(store: Connection | Session, server: Any, *, ever: bool = False) -> str:
    """Id of the image that a shelved server waits in; "" when it is not shelved, or boots from a volume. It follows
    from the request that shelved the server, the last of its kind. `server`: its row, read in the same transaction.
    `ever`: of one that is not shelved any more, too: the image may have outlived that."""
    if not server.image_ref or not (ever or server.vm_state in ("shelved", "shelved_offloaded")):
        return ""
    mine = (actions.c.instance_id == server.id, actions.c.action == "shelve")
    newest = select(actions.c.request_id).where(*mine).order_by(actions.c.start_time.desc()).limit(1)
    shelved = store.scalar(newest)
    return image_by(server, shelved)


def image_by(server: Any, request_id: str | None) -> str:
    """Id of the image that a request made of the server's disk; "" of no request, or when it boots from a volume."""
    return image_id_of(server.id, request_id) if request_id and server.image_ref else ""


def _event(instance_id: str, request_id: str, step: Step) -> dict[str, Any]:
    return {
        "instance_id": instance_id,
        "request_id": request_id,
        "event": step.event,
        "host": step.host or None,
        "attempt": step.attempt,
        "start_time": _naive(step.start_time),
        "finish_time": step.finish_time and _naive(step.finish_time),
        "result": step.result,
        "details": step.details,
    }


def _naive(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None)
