"""Security groups, allowed address pairs and binding profiles of ports."""

import json
from typing import Any

from sqlalchemy import or_
from sqlmodel import Session, col, select

from api.network.errors import bad, conflict, no_group
from api.network.model import groups, limits, shares
from api.network.schemas.ports import PortCreate, PortUpdate
from infra.tables.network import Port, PortGroup, SecurityGroup

INFRASTRUCTURE = ("network:", "neutron:")
"""Beginnings of device owners that are part of the network itself, not of a guest."""


def set_pairs(row: Port, body: PortCreate | PortUpdate) -> None:
    limits.check("allowed_address_pairs", body.allowed_address_pairs)
    pairs: list[dict[str, str]] = []
    for pair in body.allowed_address_pairs:
        one = {"ip_address": pair.ip_address, "mac_address": pair.mac_address or row.mac_address}
        if one in pairs:
            raise bad(
                f"Request contains duplicate address pair: mac_address {one['mac_address']} ip_address "
                f"{one['ip_address']}.",
                "DuplicateAddressPairInRequest",
            )
        pairs.append(one)
    row.allowed_address_pairs = pairs
    check_pairs(row)


def check_pairs(row: Port) -> None:
    if row.allowed_address_pairs and not row.port_security_enabled:
        raise conflict(
            "AddressPairAndPortSecurityRequired",
            "Port Security must be enabled in order to have allowed address pairs on a port.",
        )


def profile(body: PortCreate | PortUpdate) -> dict[str, Any]:
    """What the port's binding says; 400 for more than Neutron's column takes, as JSON."""
    limits.check("binding:profile", json.dumps(body.profile or {}))
    return body.profile or {}


def memberships(session: Session, row: Port, asked: list[str] | None) -> list[PortGroup]:
    """Memberships to add; `asked` None: the project's default group, where the port has security at all."""
    default = groups.ensure_default(session, row.project_id)
    if asked is None:
        filtered = row.port_security_enabled and not row.device_owner.startswith(INFRASTRUCTURE)
        return [PortGroup(port_id=row.id, security_group_id=default)] if filtered else []
    if asked and not row.port_security_enabled:
        raise bad(
            "Port security must be enabled and port must have an IP address in order to use security groups.",
            "PortSecurityAndIPRequiredForSecurityGroups",
        )
    wanted = list(dict.fromkeys(asked))
    limits.check("security_groups", wanted)
    usable = or_(
        col(SecurityGroup.project_id) == row.project_id, col(SecurityGroup.id).in_(shares.usable(row.project_id))
    )
    found = session.exec(select(SecurityGroup).where(usable, col(SecurityGroup.id).in_(wanted))).all()
    for group_id in wanted:
        if group_id not in {group.id for group in found}:
            raise no_group(group_id)
    if len({group.stateful for group in found}) > 1:
        raise conflict(
            "SecurityGroupConflict",
            "Error Cannot apply both stateful and stateless security groups on the same port at the same time while "
            "attempting the operation.",
        )
    return [PortGroup(port_id=row.id, security_group_id=group_id) for group_id in wanted]
