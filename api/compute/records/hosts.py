"""Rows of services and compute nodes: who is up, what a host holds."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, Row, RowMapping, bindparam, func, select
from sqlmodel import Session

from activities.scheduling import liveness
from api.compute.call import ComputeCall
from infra.contracts.placement import Reported
from infra.stores.listening import LISTENER
from infra.tables.compute import Allocation, ComputeNode, Instance, Service, now

services, nodes = Service.__table__, ComputeNode.__table__  # type: ignore[attr-defined]
COMPUTE = "nova-compute"
NAMED = (services.c.binary == COMPUTE, services.c.host.in_(bindparam("hosts", expanding=True)))
OF_SERVERS = select(
    services.c.host, services.c.zone, services.c.disabled, services.c.forced_down, services.c.last_seen
).where(*NAMED)


def is_up(call: ComputeCall, service: Reported) -> bool:
    """Reported within the configured time, and not forced down."""
    return liveness.is_up(service, now(), timedelta(seconds=call.settings.host_down_after_s))


def names(session: Session | Connection) -> tuple[str, ...]:
    """Of all compute hosts, longer ones first."""
    found = session.scalars(select(services.c.host).where(services.c.binary == COMPUTE))
    return tuple(sorted(found, key=len, reverse=True))


def of_servers(session: Session | Connection, rows: Sequence[RowMapping]) -> Sequence[Row[Any]]:
    """What `zones_of` and `status_for` are told of the hosts that these servers are on."""
    names = {row["host"] for row in rows if row["host"]}
    return session.execute(OF_SERVERS, {"hosts": list(names)}).all() if names else ()


def zones_of(found: Sequence[Row[Any]]) -> dict[str, str]:
    """Host of a server → the host's availability zone."""
    return {row.host: row.zone for row in found}


def status_for(call: ComputeCall, found: Sequence[Row[Any]]) -> dict[str, str] | None:
    """Host → UP, DOWN, MAINTENANCE or UNKNOWN as 2.16 shows it; None when the caller may not see it."""
    if not call.since(16) or not call.allows("os_compute_api:servers:show:host_status"):
        return None
    return {row.host: _status(call, row) for row in found}


def _status(call: ComputeCall, service: Any) -> str:
    if service.forced_down:
        return "DOWN"
    if service.disabled:
        return "MAINTENANCE"
    return "UP" if is_up(call, service) else "UNKNOWN"


def all_services(session: Session, host: str = "", binary: str = "") -> list[Service]:
    query = select(Service).where(services.c.binary != LISTENER).order_by(services.c.number, services.c.id)
    if host:
        query = query.where(services.c.host == host)
    if binary:
        query = query.where(services.c.binary == binary)
    return list(session.scalars(query))


def compute_service(session: Session, host: str) -> Service | None:
    return session.scalars(select(Service).where(services.c.binary == COMPUTE, services.c.host == host)).one_or_none()


def zones(session: Session) -> set[str]:
    """Availability zones that have an enabled compute host."""
    query = select(services.c.zone).where(services.c.binary == COMPUTE, services.c.disabled.is_(False)).distinct()
    return set(session.scalars(query))


def all_nodes(session: Session) -> list[ComputeNode]:
    """Compute nodes whose service exists, in the order of their integer ids."""
    known = select(services.c.host).where(services.c.binary == COMPUTE)
    return list(session.scalars(select(ComputeNode).where(nodes.c.host.in_(known)).order_by(nodes.c.number)))


def usage(session: Session) -> dict[str, tuple[int, int, int, int]]:
    """Host → (vcpus, memory in MiB, disk in GiB, servers), the sums of its allocations."""
    held = Allocation.__table__.c  # type: ignore[attr-defined]
    query = select(
        held.host, func.sum(held.vcpus), func.sum(held.memory_mb), func.sum(held.disk_gb), func.count()
    ).group_by(held.host)
    return {host: (int(cpus), int(ram), int(disk), int(n)) for host, cpus, ram, disk, n in session.execute(query)}


def servers_on(session: Session, hosts: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """Host → its servers' rows (id, name, task_state, project_id, vcpus, memory_mb, disk_gb)."""
    c = Instance.__table__.c  # type: ignore[attr-defined]
    query = (
        select(c.host, c.id, c.name, c.task_state, c.project_id, c.vcpus, c.memory_mb, c.root_gb, c.flavor)
        .where(c.host.in_(hosts), c.deleted_at.is_(None))
        .order_by(c.created_at)
    )
    found: dict[str, list[dict[str, Any]]] = {}
    for row in session.execute(query).mappings():
        found.setdefault(row["host"], []).append({**row, "disk_gb": row["root_gb"] + row["flavor"].get("ephemeral", 0)})
    return found
