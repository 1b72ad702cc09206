"""The addresses behind security groups that rules name."""

from collections.abc import Sequence
from ipaddress import ip_network

from sqlmodel import Session, col, select

from api.network.model.kinds import batches
from infra.tables.network import Port, PortAddress, PortGroup


def members(session: Session, group_ids: Sequence[str]) -> dict[str, list[str]]:
    """Addresses of all ports of each group, allowed address pairs included, as prefixes."""
    found: dict[str, set[str]] = {group: set() for group in group_ids}
    for part in batches(group_ids):
        ports = select(PortGroup.security_group_id, PortAddress.ip_address)
        ports = ports.join(PortAddress, col(PortAddress.port_id) == col(PortGroup.port_id))
        for group, address in session.exec(ports.where(col(PortGroup.security_group_id).in_(part))):
            found[group].add(_prefix(address))
        pairs = select(PortGroup.security_group_id, Port.allowed_address_pairs)
        pairs = pairs.join(Port, col(Port.id) == col(PortGroup.port_id))
        for group, allowed in session.exec(pairs.where(col(PortGroup.security_group_id).in_(part))):
            found[group].update(_prefix(pair["ip_address"]) for pair in allowed)
    return {group: sorted(some) for group, some in found.items()}


def _prefix(address: str) -> str:
    return str(ip_network(address, strict=False))
