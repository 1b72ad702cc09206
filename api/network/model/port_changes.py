"""Changing ports."""

from typing import Any

from sqlmodel import Session, col, delete

from api.network.ask import Asker
from api.network.errors import bad, conflict
from api.network.model import addresses, association, limits, macs, own_ports, placement, port_groups, qos, subports
from api.network.model.port_view import memberships
from api.network.model.ports import check_device, enforce
from api.network.schemas.ports import FixedIp, PortUpdate
from infra.tables.network import Network, Port, PortAddress, PortGroup, Subnet

CHECKED = {
    "mac_address",
    "fixed_ips",
    "security_groups",
    "allowed_address_pairs",
    "host_id",
    "profile",
    "qos_policy_id",
}
"""Attributes that are more than set."""


def update(session: Session, ask: Asker, row: Port, body: PortUpdate, given: list[str]) -> None:
    """Changes what was given; a new host makes the port DOWN until its host says otherwise."""
    network = session.get_one(Network, row.network_id)
    enforce(ask, "update_port", body, given, (row.project_id, network.project_id))
    changes: dict[str, Any] = body.model_dump(include=body.model_fields_set - CHECKED)
    _check_device(row, changes)
    if "host_id" in body.model_fields_set and (body.host_id or "") != row.host:
        changes = {"host": body.host_id or "", "status": "DOWN"} | changes
    if "profile" in body.model_fields_set:
        changes["profile"] = port_groups.profile(body)
    if "qos_policy_id" in body.model_fields_set:
        changes["qos_policy_id"] = qos.usable_id(session, ask, body.qos_policy_id)
    if body.mac_address and body.mac_address != row.mac_address:
        changes["mac_address"] = macs.choose(session, row.network_id, body.mac_address)
    for name, value in changes.items():
        setattr(row, name, value)
    if "allowed_address_pairs" in body.model_fields_set:
        port_groups.set_pairs(row, body)
    port_groups.check_pairs(row)
    _update_groups(session, row, body)
    if "fixed_ips" in body.model_fields_set or "mac_address" in changes:
        asked = body.fixed_ips if "fixed_ips" in body.model_fields_set else None
        _update_addresses(session, row, asked)
    row.touch()
    if "host" in changes:
        session.flush()
        subports.follow(session, row)
        placement.place(session)


def _check_device(row: Port, changes: dict[str, Any]) -> None:
    owner, device_id = changes.get("device_owner", row.device_owner), changes.get("device_id", row.device_id)
    if (owner, device_id) != (row.device_owner, row.device_id):
        check_device(owner, device_id)
        check_device(row.device_owner, row.device_id)


def _update_groups(session: Session, row: Port, body: PortUpdate) -> None:
    if "security_groups" in body.model_fields_set:
        members = port_groups.memberships(session, row, body.security_groups)
        session.exec(delete(PortGroup).where(col(PortGroup.port_id) == row.id))
        session.add_all(members)
    elif not row.port_security_enabled and memberships(session, [row.id])[row.id]:
        raise conflict(
            "PortSecurityPortHasSecurityGroup",
            "Port has security group associated. Cannot disable port security or IP address until security group is "
            "removed.",
        )


def _update_addresses(session: Session, row: Port, asked: list[FixedIp] | None) -> None:
    """Addresses that stay are kept, not given back and taken anew; those that follow from a MAC address follow it.

    `asked` None: only the MAC address changed."""
    have = own_ports.addresses_of(session, row.id)
    auto = [] if row.device_owner == own_ports.INTERFACE else [one for one in have if _automatic(session, one)]
    going = [one for one in have if one not in auto]
    if asked is None:
        asked = [FixedIp(subnet_id=one.subnet_id, ip_address=one.ip_address) for one in going]
    limits.check("fixed_ips", asked)
    fresh: list[FixedIp] = []
    for one in sorted(asked, key=lambda fixed: fixed.ip_address is None):
        kept = next((address for address in going if _matches(one, address)), None)
        if kept:
            going.remove(kept)
        else:
            fresh.append(one)
    going += [one for one in auto if _moved(session, row, one)]
    _check_going(session, row, have, going, fresh)
    for gone in going:
        session.delete(gone)
    session.flush()
    session.add_all(addresses.assign(session, row, fresh))


def _matches(asked: FixedIp, have: PortAddress) -> bool:
    return asked.ip_address in (None, have.ip_address) and asked.subnet_id in (None, have.subnet_id)


def _automatic(session: Session, address: PortAddress) -> bool:
    return session.get_one(Subnet, address.subnet_id).auto_addressed


def _moved(session: Session, row: Port, address: PortAddress) -> bool:
    """Whether the port's MAC address makes another address of the subnet now."""
    return bool(addresses.own_address(session, session.get_one(Subnet, address.subnet_id), row))


def _check_going(
    session: Session, row: Port, have: list[PortAddress], going: list[PortAddress], fresh: list[FixedIp]
) -> None:
    """400 when a floating address leads to one that goes, or a router's IPv4 address would change."""
    association.check_kept(session, row.id, {one.ip_address for one in have if one not in going})
    if row.device_owner in own_ports.OWN and row.device_id:
        versions = [one.ip_address for one in going] + [one.ip_address or "." for one in fresh]
        if any("." in address for address in versions):
            raise bad(f"IP updates for port {row.id} are not allowed", "IPAddressChangeNotAllowed")
