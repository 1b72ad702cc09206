"""What ports look like and who sees them."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, or_
from sqlmodel import Session, col, select

from api.network.errors import bad
from api.network.model.kinds import (
    Kind,
    View,
    batches,
    boolean,
    standard,
    standard_filters,
    standard_sort,
    tags_of,
    text,
)
from infra.tables.network import Network, Port, PortAddress, PortGroup

PRIVATE = frozenset({"binding:host_id", "binding:profile", "binding:vif_type", "binding:vif_details"})


def _visible(project_id: str) -> ColumnElement[bool]:
    networks = select(Network.id).where(Network.project_id == project_id)
    return or_(col(Port.project_id) == project_id, col(Port.network_id).in_(networks))


def fixed_ips(session: Session, ids: Sequence[str]) -> dict[str, list[dict[str, str]]]:
    """Addresses of the ports `ids`, as the API shows them."""
    found: dict[str, list[dict[str, str]]] = {port_id: [] for port_id in ids}
    for part in batches(ids):
        query = select(PortAddress).where(col(PortAddress.port_id).in_(part))
        for one in session.exec(query.order_by(PortAddress.subnet_id, col(PortAddress.number))):
            found[one.port_id].append({"subnet_id": one.subnet_id, "ip_address": one.ip_address})
    return found


def memberships(session: Session, ids: Sequence[str]) -> dict[str, list[str]]:
    """Security groups of the ports `ids`."""
    found: dict[str, list[str]] = {port_id: [] for port_id in ids}
    for part in batches(ids):
        query = select(PortGroup).where(col(PortGroup.port_id).in_(part)).order_by(PortGroup.security_group_id)
        for one in session.exec(query):
            found[one.port_id].append(one.security_group_id)
    return found


def _networks(session: Session, rows: Sequence[Port]) -> dict[str, Network]:
    ids = list({row.network_id for row in rows})
    return {
        network.id: network
        for part in batches(ids)
        for network in session.exec(select(Network).where(col(Network.id).in_(part)))
    }


def _render(session: Session, rows: Sequence[Port], view: View) -> list[dict[str, Any]]:
    ids = [row.id for row in rows]
    addresses, groups, words = fixed_ips(session, ids), memberships(session, ids), tags_of(session, rows)
    networks = _networks(session, rows) if view.sees_all else {}
    return [
        _shown(row)
        | {"fixed_ips": addresses[row.id], "security_groups": groups[row.id]}
        | (_binding(row, networks[row.network_id]) if view.sees_all else {})
        | standard(row, words[row.id])
        for row in rows
    ]


def _shown(row: Port) -> dict[str, Any]:
    return {
        "id": row.id,
        "name": row.name,
        "network_id": row.network_id,
        "mac_address": row.mac_address,
        "admin_state_up": row.admin_state_up,
        "status": row.status,
        "device_id": row.device_id,
        "device_owner": row.device_owner,
        "port_security_enabled": row.port_security_enabled,
        "allowed_address_pairs": row.allowed_address_pairs,
        "dns_name": row.dns_name,
        "extra_dhcp_opts": [],
        "binding:vnic_type": row.vnic_type,
    }


def bridge_name(network: Network) -> str:
    """Bridge of a `local` network on each host that has a port of it; at most 15 characters."""
    return f"brq{network.id[:11]}"


def _binding(row: Port, network: Network) -> dict[str, Any]:
    """A flat network's bridge is the one that the host's settings give to its physical network."""
    details: dict[str, Any] = {}
    vif_type = "unbound"
    if row.host and row.vnic_type != "normal":
        vif_type = "binding_failed"
    elif row.host:
        vif_type = "bridge"
        details = {"port_filter": True, "connectivity": "l2", "network_type": network.network_type}
        if network.physical_network:
            details["physical_network"] = network.physical_network
        else:
            details["bridge_name"] = bridge_name(network)
    return {
        "binding:host_id": row.host,
        "binding:profile": row.profile,
        "binding:vif_type": vif_type,
        "binding:vif_details": details,
    }


def _by_address(values: list[str]) -> ColumnElement[bool]:
    """`fixed_ips=ip_address=A`, `=subnet_id=S` and `=ip_address_substr=T`; different names must all match."""
    columns = {"ip_address": col(PortAddress.ip_address), "subnet_id": col(PortAddress.subnet_id)}
    query = select(PortAddress.port_id)
    wanted: dict[str, list[str]] = {}
    for value in values:
        name, _, one = value.partition("=")
        wanted.setdefault(name, []).append(one)
    for name, some in wanted.items():
        if name == "ip_address_substr":
            query = query.where(or_(*(columns["ip_address"].contains(one, autoescape=True) for one in some)))
        elif name in columns:
            query = query.where(columns[name].in_(some))
        else:
            raise bad(f"Invalid input for fixed_ips. Reason: '{name}' is not one of its attributes.")
    return col(Port.id).in_(query)


def _by_group(values: list[str]) -> ColumnElement[bool]:
    return col(Port.id).in_(select(PortGroup.port_id).where(col(PortGroup.security_group_id).in_(values)))


PORTS = Kind(
    member="port",
    collection="ports",
    table=Port,
    missing=("PortNotFound", "Port {} could not be found."),
    visible=_visible,
    render=_render,
    filters=standard_filters(Port)
    | {
        "name": text(Port.name),
        "network_id": text(Port.network_id),
        "mac_address": text(Port.mac_address),
        "admin_state_up": boolean(Port.admin_state_up),
        "status": text(Port.status),
        "device_id": text(Port.device_id),
        "device_owner": text(Port.device_owner),
        "dns_name": text(Port.dns_name),
        "port_security_enabled": boolean(Port.port_security_enabled),
        "binding:host_id": text(Port.host),
        "binding:vnic_type": text(Port.vnic_type),
        "fixed_ips": _by_address,
        "security_groups": _by_group,
    },
    sortable=standard_sort(Port)
    | {
        "name": Port.name,
        "network_id": Port.network_id,
        "mac_address": Port.mac_address,
        "status": Port.status,
        "device_id": Port.device_id,
        "device_owner": Port.device_owner,
    },
    private=PRIVATE,
    unfiltered=PRIVATE | {"allowed_address_pairs", "extra_dhcp_opts"},
)
