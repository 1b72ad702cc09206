"""Security groups and addresses of servers, as their ports have them in the network service now."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import RowMapping

from api.common.errors import ServiceError
from api.compute.call import ComputeCall
from api.compute.neighbours import neighbours
from api.compute.records.extras import Extras
from infra.openstack import NETWORK

BY_ID = 40
"""Servers in one question: more would make a URL that services refuse, and the whole project is asked for."""
FIELDS = "fields=id&fields=device_id&fields=security_groups&fields=fixed_ips"


def beside(call: ComputeCall, rows: Sequence[RowMapping], more: Extras) -> Extras:
    """`more` with the groups of those servers whose ports the caller may see; a server without ports, as one is at
    first, has none. Of others, and while the network service does not answer, the groups are shown that were asked
    for, and the addresses that the record has: unknown is not none."""
    none: dict[str, list[str]] = {row["id"]: [] for row in rows if not row["networks"]}
    ids = [row["id"] for row in rows if row["networks"]]
    try:
        ports = _ports(call, ids) if ids else []
        return replace(more, groups=none | _named(call, _of(ports)), ports=_addresses(ports))
    except ServiceError:
        return replace(more, groups=none)


def _ports(call: ComputeCall, ids: list[str]) -> list[dict[str, Any]]:
    """Raises ServiceError where the service says nothing of them, or tells a part only."""
    which = "&".join(f"device_id={id}" for id in ids) if len(ids) <= BY_ID else ""
    body = neighbours(call).get(call, NETWORK, f"/v2.0/ports?{FIELDS}&{which}")
    if body is None or "ports_links" in body:
        raise ServiceError(503, "The network service does not tell of all ports.")
    return list(body["ports"])


def _addresses(ports: list[dict[str, Any]]) -> dict[str, list[str]]:
    return {port["id"]: [fixed["ip_address"] for fixed in port.get("fixed_ips") or ()] for port in ports}


def _of(ports: list[dict[str, Any]]) -> dict[str, list[str]]:
    """Server → ids of groups, each once, in the order of its ports."""
    found: dict[str, list[str]] = {}
    for port in ports:
        known = found.setdefault(port["device_id"], [])
        known += [group for group in port.get("security_groups") or () if group not in known]
    return found


def _named(call: ComputeCall, groups: dict[str, list[str]]) -> dict[str, list[str]]:
    wanted = {group for some in groups.values() for group in some}
    which = "&".join(f"id={id}" for id in sorted(wanted)) if len(wanted) <= BY_ID else ""
    listed = _ask(call, f"/v2.0/security-groups?fields=id&fields=name&{which}", "security_groups") if wanted else []
    names = {group["id"]: str(group["name"]) for group in listed}
    return {id: [names.get(group, group) for group in some] for id, some in groups.items()}


def _ask(call: ComputeCall, path: str, what: str) -> list[dict[str, Any]]:
    return list((neighbours(call).get(call, NETWORK, path) or {}).get(what, []))
