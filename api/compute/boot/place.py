"""Where a server to be shall run: its zone, a host that an admin names, and hints to the scheduler."""

import json
from dataclasses import dataclass
from typing import Any

from sqlmodel import Session

from api.compute.call import ComputeCall
from api.compute.errors import bad_request, not_implemented
from api.compute.records import hosts
from api.compute.schemas.servers import Hints, ServerCreate
from api.compute.validation import check_values

ON_FAILURE = "kilonova:on_failure"
UNBUILT_HINTS = (
    "query", "build_near_host_ip", "cidr", "target_cell", "different_cell",
)  # fmt: skip
"""Hints of Nova that no filter here obeys: accepted and ignored, they would promise a place that is not kept."""


@dataclass(frozen=True)
class Place:
    zone: str | None = None
    forced_host: str | None = None
    requested_host: str | None = None


@dataclass(frozen=True)
class Hinted:
    """What the scheduler's hints ask for: a server group, how to fail, and whatever else they hold."""

    group: str | None
    kept: dict[str, str]
    shown: dict[str, list[Any]]


def place(session: Session, call: ComputeCall, wish: ServerCreate) -> Place:
    """From `availability_zone` (`zone`, or `zone:host[:node]` for admins) and `host`; 400 for unknown ones, 403 for
    callers who may not choose a host."""
    zone, _, rest = (wish.availability_zone or "").partition(":")
    forced, _, node = rest.partition(":")
    if ":" in node:
        raise bad_request("Invalid input received: Unable to parse availability_zone")
    forced = forced or node
    requested = wish.host or wish.hypervisor_hostname
    if forced:
        call.enforce("os_compute_api:servers:create:forced_host")
    if requested:
        call.enforce("compute:servers:create:requested_destination")
        if forced:
            raise bad_request(
                "One mechanism with host and/or hypervisor_hostname and another mechanism with zone:host:node are "
                "mutually exclusive."
            )
        if wish.hypervisor_hostname and wish.host not in (None, wish.hypervisor_hostname):
            raise bad_request(f"Compute host {wish.host} could not be found.")
    for host in (forced, requested):
        if host and hosts.compute_service(session, host) is None:
            raise bad_request(f"Compute host {host} could not be found.")
    if zone and not forced and zone not in hosts.zones(session):
        raise bad_request("The requested availability zone is not available")
    return Place(zone or None, forced or None, requested)


def hints(call: ComputeCall, body: dict[str, Any]) -> Hinted:
    """Scheduler hints; `kept` has them as text, or as JSON. Without `kilonova:on_failure` the operator's setting
    decides. 501 for those that no filter obeys."""
    given = body.get("os:scheduler_hints", body.get("OS-SCH-HNT:scheduler_hints", {}))
    if not isinstance(given, dict):
        raise bad_request("Invalid input for field/attribute os:scheduler_hints. It is not of type 'object'")
    known = check_values(Hints, given, "os:scheduler_hints")
    for name in UNBUILT_HINTS:
        if given.get(name) is not None:
            raise not_implemented(f"The scheduler hint {name} is not implemented.")
    kept = {str(name): value if isinstance(value, str) else json.dumps(value) for name, value in given.items()}
    if kept.setdefault(ON_FAILURE, "park" if call.settings.park_failed_builds else "unwind") not in ("park", "unwind"):
        raise bad_request(f"Invalid input for field/attribute {ON_FAILURE}. It is not one of 'park', 'unwind'")
    wanted = {str(name): value for name, value in given.items() if value is not None}
    shown = {name: value if isinstance(value, list) else [value] for name, value in wanted.items()}
    return Hinted(known.group, kept, shown)
