"""Whether the network service's quota leaves room for the ports that a boot will make."""

from typing import Any

from api.compute.call import ComputeCall
from api.compute.errors import forbidden
from api.compute.limits import NICS_WORDS
from api.compute.neighbours import neighbours
from infra.openstack import NETWORK

PLENTY = 100
"""So many free ports beyond what is asked for are not gone in two seconds, for which an answer is kept."""


def servers_with_ports(call: ComputeCall, least: int, most: int, each: int) -> int:
    """How many of `most` servers can have `each` new ports; 403 in Nova's words unless `least` can.

    The quota is the caller's project's, as it is now: the port itself may still be refused, if others were faster."""
    if not each:
        return most
    path = f"/v2.0/quotas/{call.context.project_id}/details"
    enough = most * each + PLENTY
    body = neighbours(call).get(call, NETWORK, path, good=lambda told: _free(told, enough) >= enough)
    if body is None:  # a network service that tells no details; it refuses the ports itself
        return most
    found = min(most, _free(body, most * each) // each)
    if found < least:
        raise forbidden(NICS_WORDS)
    return found


def _free(told: dict[str, Any], unlimited: int) -> int:
    ports = told.get("quota", {}).get("port", {})
    limit = int(ports.get("limit", -1))
    return unlimited if limit < 0 else max(0, limit - int(ports.get("used", 0)) - int(ports.get("reserved", 0)))
