"""Availability zones of networks and routers: there is one, as long as a host reports."""

from typing import Any

from sqlmodel import Session

from api.network.errors import typed
from api.network.model import limits
from api.network.model.hosts import alive_names

ZONE = "nova"
"""Neutron's default zone. Hosts report none of their own."""


def listed(session: Session) -> list[dict[str, Any]]:
    if not alive_names(session):
        return []
    return [{"name": ZONE, "resource": resource, "state": "available"} for resource in ("network", "router")]


def check_hints(session: Session, hints: list[str]) -> None:
    """404 for a zone that does not exist, or has no host that reports."""
    limits.check("availability_zone_hints", hints)
    for hint in hints:
        if hint != ZONE or not alive_names(session):
            raise typed(404, "AvailabilityZoneNotFound", f"AvailabilityZone {hint} could not be found.")
