"""Rows of host aggregates, and what may not be done to their hosts' zones. Source: Nova's AggregateAPI."""

from sqlalchemy import delete, func, insert, select
from sqlmodel import Session

from api.compute.errors import bad_request, conflict, not_found
from api.compute.records import hosts
from infra.stores import zones
from infra.stores.zones import aggregates, member
from infra.tables.compute import Instance, now
from infra.tables.grouping import Aggregate, AggregateHost

ZONE = "availability_zone"
instances = Instance.__table__  # type: ignore[attr-defined]
MOVES = (
    "The host cannot be {} the aggregate as the availability zone of the host would change from '{}' to '{}' but the "
    "host already has {} instance(s). Changing the AZ of an existing instance is not supported by this action. Move "
    "the instances away from this host then try again. If you need to move the instances between AZs then you can use "
    "shelve_offload and unshelve to achieve this."
)


def listed(session: Session) -> list[Aggregate]:
    return list(session.scalars(select(Aggregate).order_by(aggregates.c.id)))


def find(session: Session, number: int) -> Aggregate:
    found = session.get(Aggregate, number)
    if found is None:
        raise not_found(f"Aggregate {number} could not be found.")
    return found


def hosts_of(session: Session, number: int | None) -> list[str]:
    return list(session.scalars(select(member.c.host).where(member.c.aggregate_id == number).order_by(member.c.host)))


def create(session: Session, aggregate: Aggregate) -> None:
    _require_free(session, aggregate.name)
    session.add(aggregate)
    session.flush()


def rename(session: Session, aggregate: Aggregate, name: str) -> None:
    if name != aggregate.name:
        _require_free(session, name)
    aggregate.name, aggregate.updated_at = name, now()


def set_zone(session: Session, aggregate: Aggregate, zone: str | None, doing: str) -> None:
    """400 when a host is in another zone already, or has servers in the one that the aggregate gives now."""
    inside, failed = hosts_of(session, aggregate.id), f"Cannot {doing} aggregate {aggregate.id}. Reason: "
    if not zone:
        raise bad_request(f"{failed}Aggregate {aggregate.name} does not support empty named availability zone.")
    if others := _other_zones(session, aggregate, inside, zone):
        raise bad_request(f"{failed}One or more hosts already in availability zone(s) {others}.")
    if zone != aggregate.zone and any(_servers(session, host) > 0 for host in inside):
        raise bad_request(f"{failed}One or more hosts contain instances in this zone.")
    aggregate.zone, aggregate.updated_at = zone, now()
    zones.refresh(session, inside)


def add_host(session: Session, aggregate: Aggregate, host: str) -> None:
    """404 for an unknown host, 409 for one that is in, or whose zone may not change."""
    if hosts.compute_service(session, host) is None:
        raise not_found(f"Host '{host}' is not mapped to any cell")
    failed = f"Cannot add host to aggregate {aggregate.id}. Reason: "
    if aggregate.zone and (others := _other_zones(session, aggregate, [host], aggregate.zone)):
        raise conflict(f"{failed}One or more hosts already in availability zone(s) {others}.")
    before, servers = _given(session, host), _servers(session, host)
    if aggregate.zone and servers and before != aggregate.zone:
        raise conflict(f"{failed}{MOVES.format('added to', before, aggregate.zone, servers)}.")
    if host in hosts_of(session, aggregate.id):
        raise conflict(f"Aggregate {aggregate.id} already has host {host}.")
    session.execute(insert(member).values(aggregate_id=aggregate.id, host=host))
    aggregate.updated_at = now()
    zones.refresh(session, [host])


def remove_host(session: Session, aggregate: Aggregate, host: str) -> None:
    """404 for a host that is not in; 409 when its servers' zone would change."""
    found = session.get(AggregateHost, (aggregate.id, host))
    if found is None:
        raise not_found(f"Cannot remove host {host} in aggregate {aggregate.id}")
    session.delete(found)
    aggregate.updated_at = now()
    session.flush()
    after, servers = _given(session, host), _servers(session, host)
    if aggregate.zone and servers and after != aggregate.zone:
        words = MOVES.format("removed from", aggregate.zone, after, servers)
        raise conflict(f"Cannot remove host from aggregate {aggregate.id}. Reason: {words}.")
    zones.refresh(session, [host])


def remove(session: Session, aggregate: Aggregate) -> None:
    if hosts_of(session, aggregate.id):
        raise bad_request(f"Cannot remove host from aggregate {aggregate.id}. Reason: Host aggregate is not empty.")
    session.delete(aggregate)


def forget_host(session: Session, host: str) -> None:
    """A host whose service is deleted is in no aggregate any more."""
    session.execute(delete(member).where(member.c.host == host))


def _require_free(session: Session, name: str) -> None:
    if session.scalar(select(aggregates.c.id).where(aggregates.c.name == name)) is not None:
        raise conflict(f"Aggregate {name} already exists.")


def _other_zones(session: Session, aggregate: Aggregate, inside: list[str], zone: str) -> list[str]:
    query = select(aggregates.c.zone).where(
        member.c.aggregate_id == aggregates.c.id,
        member.c.host.in_(inside),
        aggregates.c.id != aggregate.id,
        aggregates.c.zone.is_not(None),
        aggregates.c.zone != zone,
    )
    return sorted(set(session.scalars(query)))


def _given(session: Session, host: str) -> str | None:
    zone: str | None = session.scalar(select(zones.given(host)))
    return zone


def _servers(session: Session, host: str) -> int:
    living = (instances.c.host == host, instances.c.deleted_at.is_(None))
    return session.scalar(select(func.count()).select_from(instances).where(*living)) or 0
