"""Making, changing and deleting ports."""

from typing import Any

from sqlmodel import Session, col, delete, select

from api.network.ask import Asker
from api.network.errors import bad, conflict, forbidden, no_group
from api.network.model import addresses, association, groups, macs, own_ports, placement, quotas, tags
from api.network.model.kinds import find
from api.network.model.networks import NETWORKS
from api.network.model.port_view import memberships
from api.network.schemas.ports import FixedIp, PortCreate, PortUpdate
from infra.tables.network import FloatingIp, Network, Port, PortAddress, PortGroup, Router, SecurityGroup, new_id

INFRASTRUCTURE = ("network:", "neutron:")
"""Beginnings of device owners that are part of the network itself, not of a guest."""


def create(session: Session, ask: Asker, body: PortCreate, given: list[str]) -> Port:
    """A port with its addresses and groups, in one transaction with the checks that allow them.

    `given`: attributes that differ from their defaults. Raises 409 for an id, MAC address or address that is taken,
    and when quota or addresses are used up."""
    project_id = ask.owner(body.project_id, body.tenant_id)
    network = find(session, ask, NETWORKS, body.network_id)
    _check_network(ask, network, project_id)
    _enforce(ask, "create_port", body, given, (project_id, network.project_id))
    if body.id and session.get(Port, body.id):
        raise conflict("PortIdInUse", f"A port with the id {body.id} exists.")
    quotas.check(session, project_id, "port")
    secure = network.port_security_enabled if body.port_security_enabled is None else body.port_security_enabled
    row = Port(
        id=body.id or new_id(),
        project_id=project_id,
        mac_address=macs.choose(session, network.id, body.mac_address),
        port_security_enabled=secure,
        allowed_address_pairs=[],
        status=body.status or "DOWN",
        host=body.host_id or "",
        profile=body.profile or {},
        **body.model_dump(
            include={
                "network_id",
                "name",
                "description",
                "admin_state_up",
                "device_id",
                "device_owner",
                "dns_name",
                "vnic_type",
            }
        ),
    )
    _set_pairs(row, body)
    have = addresses.assign(session, network.id, row.id, body.fixed_ips)
    members = _groups(session, row, body.security_groups)
    session.add(row)
    session.flush()
    session.add_all([*have, *members])
    tags.add(session, row, body.tags)
    if row.host:
        session.flush()
        placement.place(session)
    return row


def _check_network(ask: Asker, network: Network, project_id: str) -> None:
    """A network that is seen only because it is external takes no ports of tenants."""
    if network.shared or network.project_id == ask.project_id:
        return
    if not ask.allows("create_port:on_external_network", project_id, network.project_id):
        raise forbidden("create_port:on_external_network")


def _enforce(
    ask: Asker, action: str, body: PortCreate | PortUpdate, given: list[str], projects: tuple[str, str]
) -> None:
    """`projects`: the port's and its network's."""
    ask.enforce(action, projects[0])
    asked = list(given)
    if body.device_owner.startswith(INFRASTRUCTURE) and "device_owner" in given:
        asked.append("device_owner:network")
    if any(fixed.ip_address for fixed in body.fixed_ips or []):
        asked.append("fixed_ips:ip_address")
    ask.enforce_attributes(action, asked, *projects)


def _set_pairs(row: Port, body: PortCreate | PortUpdate) -> None:
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
    _check_pairs(row)


def _check_pairs(row: Port) -> None:
    if row.allowed_address_pairs and not row.port_security_enabled:
        raise conflict(
            "AddressPairAndPortSecurityRequired",
            "Port Security must be enabled in order to have allowed address pairs on a port.",
        )


def _groups(session: Session, row: Port, asked: list[str] | None) -> list[PortGroup]:
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
    own = select(SecurityGroup.id).where(SecurityGroup.project_id == row.project_id, col(SecurityGroup.id).in_(wanted))
    known = set(session.exec(own))
    for group_id in wanted:
        if group_id not in known:
            raise no_group(group_id)
    return [PortGroup(port_id=row.id, security_group_id=group_id) for group_id in wanted]


def update(session: Session, ask: Asker, row: Port, body: PortUpdate, given: list[str]) -> None:
    """Changes what was given; a new host makes the port DOWN until its host says otherwise."""
    network = session.get_one(Network, row.network_id)
    _enforce(ask, "update_port", body, given, (row.project_id, network.project_id))
    changes: dict[str, Any] = body.model_dump(
        include=body.model_fields_set
        - {"mac_address", "fixed_ips", "security_groups", "allowed_address_pairs", "host_id", "profile"}
    )
    if "host_id" in body.model_fields_set and (body.host_id or "") != row.host:
        changes = {"host": body.host_id or "", "status": "DOWN"} | changes
    if "profile" in body.model_fields_set:
        changes["profile"] = body.profile or {}
    if body.mac_address and body.mac_address != row.mac_address:
        changes["mac_address"] = macs.choose(session, row.network_id, body.mac_address)
    for name, value in changes.items():
        setattr(row, name, value)
    if "allowed_address_pairs" in body.model_fields_set:
        _set_pairs(row, body)
    _check_pairs(row)
    _update_groups(session, row, body)
    if "fixed_ips" in body.model_fields_set:
        _update_addresses(session, row, body.fixed_ips)
    row.touch()
    if "host" in changes:
        session.flush()
        placement.place(session)


def _update_groups(session: Session, row: Port, body: PortUpdate) -> None:
    if "security_groups" in body.model_fields_set:
        members = _groups(session, row, body.security_groups)
        session.exec(delete(PortGroup).where(col(PortGroup.port_id) == row.id))
        session.add_all(members)
    elif not row.port_security_enabled and memberships(session, [row.id])[row.id]:
        raise conflict(
            "PortSecurityPortHasSecurityGroup",
            "Port has security group associated. Cannot disable port security or IP address until security group is "
            "removed.",
        )


def _update_addresses(session: Session, row: Port, asked: list[FixedIp]) -> None:
    """Addresses that stay are kept, not given back and taken anew."""
    addresses.check_count(asked)
    current = list(session.exec(select(PortAddress).where(PortAddress.port_id == row.id)))
    fresh: list[FixedIp] = []
    for one in sorted(asked, key=lambda fixed: fixed.ip_address is None):
        kept = next(
            (
                have
                for have in current
                if one.ip_address in (None, have.ip_address) and one.subnet_id in (None, have.subnet_id)
            ),
            None,
        )
        if kept:
            current.remove(kept)
        else:
            fresh.append(one)
    _check_floating(session, row, current)
    for gone in current:
        session.delete(gone)
    session.flush()
    have = addresses.assign(session, row.network_id, row.id, fresh)
    session.add_all(have)


def _check_floating(session: Session, row: Port, going: list[PortAddress]) -> None:
    gone = {address.ip_address for address in going}
    have = {address.ip_address for address in own_ports.addresses_of(session, row.id)}
    association.check_kept(session, row.id, have - gone)


def remove(session: Session, ask: Asker, row: Port) -> None:
    """Its addresses are free at once; the search for free ones comes back to them last.

    409 ServicePortInUse for a port of a router or of a floating address, which goes with those."""
    network = session.get_one(Network, row.network_id)
    ask.enforce("delete_port", row.project_id, network.project_id)
    if row.device_owner in own_ports.OWN and _served(session, row):
        raise conflict(
            "ServicePortInUse",
            f"Port {row.id} cannot be deleted directly via the port API: has device owner {row.device_owner}.",
        )
    association.release(session, row.id)
    tags.forget(session, row.id)
    session.exec(delete(Port).where(col(Port.id) == row.id))


def _served(session: Session, row: Port) -> bool:
    """Whether what the port belongs to is still there."""
    table = FloatingIp if row.device_owner == own_ports.FLOATING else Router
    return session.get(table, row.device_id) is not None
