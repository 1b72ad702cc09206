"""Availability zones of hosts: of the aggregate that gives one, else the host's own (tables services, aggregates)."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import ColumnElement, ScalarSelect, func, select, update
from sqlmodel import Session

from infra.tables.compute import Service
from infra.tables.grouping import Aggregate, AggregateHost

services = Service.__table__  # type: ignore[attr-defined]
aggregates, member = Aggregate.__table__, AggregateHost.__table__  # type: ignore[attr-defined]


def given(host: ColumnElement[str] | str) -> ScalarSelect[Any]:
    """The zone that an aggregate gives the host, or null. There is one at most: an aggregate of another is refused."""
    where = (member.c.host == host, member.c.aggregate_id == aggregates.c.id, aggregates.c.zone.is_not(None))
    return select(aggregates.c.zone).where(*where).limit(1).scalar_subquery()


def refresh(session: Session, hosts: Iterable[str]) -> None:
    """Write the zone of each host anew, after its aggregates changed."""
    session.flush()
    zone = func.coalesce(given(services.c.host), services.c.own_zone)
    session.execute(update(services).where(services.c.host.in_(list(hosts))).values(zone=zone))
