"""What one host must let through: its ports with their rules, remote groups already turned into addresses."""

from collections.abc import Iterable, Sequence
from ipaddress import ip_network
from typing import Any

from sqlmodel import Session, col, select

from api.network.model.address_groups import addresses_of
from api.network.model.kinds import batches
from api.network.model.port_view import fixed_ips, memberships
from api.network.model.traffic import PROTOCOLS, protocol_number
from infra.tables.network import Port, PortAddress, PortGroup, SecurityGroupRule

NAMES = {PROTOCOLS[name]: name for name in ("icmp", "tcp", "udp", "sctp", "dccp", "udplite", "ipv6-icmp")}
"""Protocols that rules name here; all others are given as numbers."""


def of_host(session: Session, host: str) -> list[dict[str, Any]]:
    """Every port bound to `host`, in the order of ids; `rules` is empty for a port without port security.

    A rule's `remote_ips`: None is anywhere; a list of prefixes may be empty, which matches nothing."""
    rows = session.exec(select(Port).where(Port.host == host).order_by(Port.id)).all()
    ids = [row.id for row in rows]
    addresses, groups = fixed_ips(session, ids), memberships(session, ids)
    rules = _rules(session, sorted({group for some in groups.values() for group in some}))
    return [
        {
            "id": row.id,
            "mac_address": row.mac_address,
            "fixed_ips": addresses[row.id],
            "network_id": row.network_id,
            "device_id": row.device_id,
            "admin_state_up": row.admin_state_up,
            "port_security_enabled": row.port_security_enabled,
            "allowed_address_pairs": row.allowed_address_pairs,
            "rules": _merged(rules[group] for group in groups[row.id]) if row.port_security_enabled else [],
        }
        for row in rows
    ]


def _rules(session: Session, group_ids: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    found = [
        rule
        for part in batches(group_ids)
        for rule in session.exec(
            select(SecurityGroupRule)
            .where(col(SecurityGroupRule.security_group_id).in_(part))
            .order_by(SecurityGroupRule.id)
        )
    ]
    remote = members(session, sorted({rule.remote_group_id for rule in found if rule.remote_group_id}))
    lists = {rule.remote_address_group_id for rule in found if rule.remote_address_group_id}
    remote |= addresses_of(session, sorted(lists))
    rules: dict[str, list[dict[str, Any]]] = {group: [] for group in group_ids}
    for rule in found:
        rules[rule.security_group_id].append(_rule(rule, remote))
    return rules


def _rule(rule: SecurityGroupRule, remote: dict[str, list[str]]) -> dict[str, Any]:
    number = protocol_number(rule.protocol)
    remote_ips: list[str] | None = None
    if rule.remote_group_id:
        version = "." if rule.ethertype == "IPv4" else ":"
        remote_ips = [ip for ip in remote[rule.remote_group_id] if version in ip]
    elif rule.remote_address_group_id:
        version = "." if rule.ethertype == "IPv4" else ":"
        remote_ips = [ip for ip in remote[rule.remote_address_group_id] if version in ip]
    elif rule.remote_ip_prefix:
        remote_ips = [prefix(rule.remote_ip_prefix)]
    return {
        "direction": rule.direction,
        "ethertype": rule.ethertype,
        "protocol": None if number is None else NAMES.get(number, str(number)),
        "port_range_min": rule.port_range_min,
        "port_range_max": rule.port_range_max,
        "remote_ips": remote_ips,
    }


def members(session: Session, group_ids: Sequence[str]) -> dict[str, list[str]]:
    """Addresses of all ports of each group, allowed address pairs included, as prefixes."""
    found: dict[str, set[str]] = {group: set() for group in group_ids}
    for part in batches(group_ids):
        ports = select(PortGroup.security_group_id, PortAddress.ip_address)
        ports = ports.join(PortAddress, col(PortAddress.port_id) == col(PortGroup.port_id))
        for group, address in session.exec(ports.where(col(PortGroup.security_group_id).in_(part))):
            found[group].add(prefix(address))
        pairs = select(PortGroup.security_group_id, Port.allowed_address_pairs)
        pairs = pairs.join(Port, col(Port.id) == col(PortGroup.port_id))
        for group, allowed in session.exec(pairs.where(col(PortGroup.security_group_id).in_(part))):
            found[group].update(prefix(pair["ip_address"]) for pair in allowed)
    return {group: sorted(some) for group, some in found.items()}


def prefix(address: str) -> str:
    """An address or prefix as a prefix without host bits."""
    return str(ip_network(address, strict=False))


def _merged(groups: Iterable[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Rules of all groups of a port, equal ones once."""
    merged: list[dict[str, Any]] = []
    for rule in (rule for group in groups for rule in group):
        if rule not in merged:
            merged.append(rule)
    return merged
