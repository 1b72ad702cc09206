"""Ports of one host as its firewall needs them: rules by reference to sets, each set once."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import not_
from sqlmodel import Session, col, select

from api.network.model import qos
from api.network.model.address_groups import addresses_of
from api.network.model.group_members import members
from api.network.model.kinds import batches
from api.network.model.port_view import fixed_ips, memberships
from api.network.model.traffic import PROTOCOLS, normalized_cidr, protocol_number
from infra.tables.network import Port, SecurityGroup, SecurityGroupRule, SubPort, Trunk

NAMES = {PROTOCOLS[name]: name for name in ("icmp", "tcp", "udp", "sctp", "dccp", "udplite", "ipv6-icmp")}
"""Protocols that rules name here; all others are given as numbers."""
Sets = dict[str, list[str]]


def of(session: Session, rows: Sequence[Port]) -> tuple[list[dict[str, Any]], Sets]:
    """The ports in the order of `rows`, and the members of every set that one of their rules names."""
    ids = [row.id for row in rows]
    addresses, groups = fixed_ips(session, ids), memberships(session, ids)
    rules = _rules(session, sorted({group for row in rows for group in groups[row.id] if row.port_security_enabled}))
    named = sorted({rule.remote_group_id for some in rules.values() for rule in some if rule.remote_group_id})
    sets = {f"group:{group}": some for group, some in members(session, named).items()}
    lists = {rule.remote_address_group_id for some in rules.values() for rule in some if rule.remote_address_group_id}
    sets |= {f"address-group:{group}": some for group, some in addresses_of(session, sorted(lists)).items()}
    stateless, limits, trunks = _stateless(session, groups), qos.of_ports(session, rows), _trunks(session, ids)
    return [
        {
            "id": row.id,
            "network_id": row.network_id,
            "device_id": row.device_id,
            "mac_address": row.mac_address,
            "fixed_ips": addresses[row.id],
            "admin_state_up": row.admin_state_up,
            "port_security_enabled": row.port_security_enabled,
            "allowed_address_pairs": row.allowed_address_pairs,
            "rules": _merged(rules[group] for group in groups[row.id]) if row.port_security_enabled else [],
            "stateful": row.id not in stateless,
            "qos": limits.get(row.id),
            "trunk": trunks.get(row.id),
        }
        for row in rows
    ], sets


def _rules(session: Session, group_ids: Sequence[str]) -> dict[str, list[SecurityGroupRule]]:
    found: dict[str, list[SecurityGroupRule]] = {group: [] for group in group_ids}
    for part in batches(group_ids):
        query = select(SecurityGroupRule).where(col(SecurityGroupRule.security_group_id).in_(part))
        for rule in session.exec(query.order_by(SecurityGroupRule.id)):
            found[rule.security_group_id].append(rule)
    return found


def _rule(rule: SecurityGroupRule) -> dict[str, Any]:
    number = protocol_number(rule.protocol)
    prefix = normalized_cidr(rule.remote_ip_prefix)
    return {
        "direction": rule.direction,
        "ethertype": rule.ethertype,
        "protocol": None if number is None else NAMES.get(number, str(number)),
        "port_range_min": rule.port_range_min,
        "port_range_max": rule.port_range_max,
        "remote_ips": [prefix] if prefix else None,
        "remote_set": _remote_set(rule),
    }


def _remote_set(rule: SecurityGroupRule) -> str | None:
    if rule.remote_group_id:
        return f"group:{rule.remote_group_id}"
    return f"address-group:{rule.remote_address_group_id}" if rule.remote_address_group_id else None


def _stateless(session: Session, groups: Mapping[str, Sequence[str]]) -> set[str]:
    """Ports of stateless groups; all groups of a port are of one kind."""
    ids = sorted({group for some in groups.values() for group in some})
    found = {
        group
        for part in batches(ids)
        for group in session.exec(
            select(SecurityGroup.id).where(col(SecurityGroup.id).in_(part), not_(col(SecurityGroup.stateful)))
        )
    }
    return {port_id for port_id, some in groups.items() if found.intersection(some)}


def _trunks(session: Session, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Subports of the trunks whose parents are the ports `ids`."""
    found: dict[str, dict[str, Any]] = {}
    for part in batches(ids):
        for trunk in session.exec(select(Trunk).where(col(Trunk.port_id).in_(part))):
            subports = session.exec(select(SubPort).where(SubPort.trunk_id == trunk.id).order_by(SubPort.port_id))
            found[trunk.port_id] = {
                "admin_state_up": trunk.admin_state_up,
                "subports": [{"port_id": one.port_id, "segmentation_id": one.segmentation_id} for one in subports],
            }
    return found


def _merged(groups: Iterable[list[SecurityGroupRule]]) -> list[dict[str, Any]]:
    """Rules of all groups of a port, equal ones once."""
    merged = {tuple(map(str, shown.values())): shown for some in groups for shown in map(_rule, some)}
    return list(merged.values())
