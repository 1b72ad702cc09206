"""What compute hosts report: that they live, what they have, what their guests do. Cheap, since every host calls
every few seconds."""

import uuid
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, bindparam, func, insert, select, update
from sqlmodel import Session

from api.common import parsers
from api.compute.errors import bad_request
from api.compute.records.hosts import COMPUTE, nodes, services
from api.compute.schemas.services import GuestEvent, HostReport
from infra.contracts.power_states import CRASHED, DISK_ERROR, RUNNING, SHUTDOWN
from infra.contracts.step import Step
from infra.stores import actions, zones
from infra.tables.compute import Allocation, Instance, now

WAITS = "wait_for_disk"
"""The action of a guest that is paused until a disk answers."""
held, servers = Allocation.__table__, Instance.__table__  # type: ignore[attr-defined]


def heartbeat(session: Session, host: str, report: HostReport) -> tuple[str, bool]:
    """Write the report; (the service's id, whether it is disabled). Three statements, more for a new host."""
    zone = func.coalesce(zones.given(host), report.zone)
    known = session.execute(
        update(services)
        .where(services.c.binary == COMPUTE, services.c.host == host)
        .values(last_seen=now(), own_zone=report.zone, zone=zone)
        .returning(services.c.id, services.c.disabled)
    ).one_or_none()
    if known is None:
        service_id = str(uuid.uuid4())
        number = (session.scalar(select(func.max(services.c.number))) or 0) + 1
        session.execute(
            insert(services).values(
                id=service_id, number=number, binary=COMPUTE, host=host, zone=zone, disabled=False,
                forced_down=False, last_seen=now(), updated_at=now(), own_zone=report.zone,
            )
        )  # fmt: skip
        _write_node(session, host, report)
        return service_id, False
    _write_node(session, host, report)
    return known.id, known.disabled


def _write_node(session: Session, host: str, report: HostReport) -> None:
    values: dict[str, Any] = report.model_dump(exclude={"zone", "started_at", "cloud_id"})
    values["started_at"] = _moment(report.started_at)
    changed = session.execute(update(nodes).where(nodes.c.host == host).values(**values))
    if not changed.rowcount:  # type: ignore[attr-defined]
        number = (session.scalar(select(func.max(nodes.c.number))) or 0) + 1
        session.execute(insert(nodes).values(host=host, id=str(uuid.uuid4()), number=number, **values))


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return parsers.moment(text)
    except parsers.Malformed:
        raise bad_request("Invalid input for field/attribute host/started_at. It is not a 'date-time'") from None


def claims(session: Session, host: str) -> list[dict[str, Any]]:
    """Every allocation on the host, with its server's states (null when there is no such server). What a resize keeps
    here of a server is none of the server's."""
    query = (
        select(held.c.instance_id, held.c.attempt, servers.c.vm_state, servers.c.task_state, servers.c.power_state)
        .select_from(held.outerjoin(servers, servers.c.id == held.c.instance_id))
        .where(held.c.host == host, held.c.kind != "migration")
        .order_by(held.c.instance_id)
    )
    return [dict(row) for row in session.execute(query).mappings()]


CLAIM = select(held.c.instance_id, held.c.attempt).where(
    held.c.host == bindparam("host"), held.c.instance_id == bindparam("instance_id")
)
"""The server's own, or that of a resize which keeps here what the server was; of both on one host the number is one."""


def claim(store: Connection, host: str, instance_id: str) -> dict[str, Any] | None:
    row = store.execute(CLAIM, {"host": host, "instance_id": instance_id}).mappings().first()
    return dict(row) if row else None


def apply_event(session: Session, host: str, event: GuestEvent) -> None:
    """A guest's new power state. A server that an operation works on, or on another host, is left alone. That it went
    off, and what it is paused for, is an action in the server's list."""
    values: dict[str, Any] = {"power_state": event.power_state, "updated_at": now()}
    if event.power_state in (SHUTDOWN, CRASHED):
        values |= {"vm_state": "stopped", "power_state": SHUTDOWN}
    elif event.power_state == RUNNING:
        values["vm_state"] = "active"
    this = select(servers.c.id, servers.c.user_id, servers.c.project_id, servers.c.vm_state).where(
        servers.c.id == event.instance_id,
        servers.c.host == host,
        servers.c.task_state.is_(None),
        servers.c.vm_state.in_(("active", "stopped")),
        servers.c.deleted_at.is_(None),
        servers.c.power_state != values["power_state"],
    )
    if (server := session.execute(this.with_for_update()).one_or_none()) is not None:
        session.execute(update(servers).where(servers.c.id == server.id).values(**values))
        _tell(session, host, event, server)


def _tell(session: Session, host: str, event: GuestEvent, server: Any) -> None:
    """As Nova, which calls its own stop for a guest that is off. A disk that answers, and does not again, is told of
    once until something else happens to the server."""
    moment = datetime.now(UTC)
    about = {"host": host, "start_time": moment, "finish_time": moment, "details": event.reason[:255] or None}
    if server.vm_state == "active" and event.power_state in (SHUTDOWN, CRASHED):
        actions.happened(session, server, "stop", Step(event="guest_stopped", result="Success", **about))
    elif event.reason.startswith(DISK_ERROR) and actions.newest(session, server.id) != WAITS:
        actions.happened(session, server, WAITS, Step(event="guest_paused", result="Error", **about))
