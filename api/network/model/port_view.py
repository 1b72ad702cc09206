"""What ports look like and who sees them."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, or_
from sqlmodel import Session, col, select

from api.network.errors import invalid
from api.network.model import trunk_details
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

DOMAIN = "openstacklocal."
"""Domain of networks that have none of their own, as Neutron's."""
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
    networks, trunks = _networks(session, rows), trunk_details.of_ports(session, ids)
    return [
        _shown(row)
        | {"fixed_ips": addresses[row.id], "security_groups": groups[row.id]}
        | {"dns_assignment": _names(row, addresses[row.id], networks[row.network_id].dns_domain)}
        | {"qos_network_policy_id": networks[row.network_id].qos_policy_id}
        | (_binding(row, networks[row.network_id]) if view.sees_all else {})
        | ({"trunk_details": trunks[row.id]} if row.id in trunks else {})
        | standard(row, words[row.id])
        for row in rows
    ]


def _names(row: Port, addresses: Sequence[dict[str, str]], domain: str) -> list[dict[str, str]]:
    """What DHCP's name server answers for the port; without a name of its own it is called after its address."""
    found = []
    for address in addresses:
        name = row.dns_name or "host-" + address["ip_address"].replace(".", "-").replace(":", "-")
        fqdn = f"{name}.{domain or DOMAIN}"
        found.append(
            {"ip_address": address["ip_address"], "hostname": name, "fqdn": fqdn if fqdn.endswith(".") else f"{fqdn}."}
        )
    return found


def _shown(row: Port) -> dict[str, Any]:
    names = (
        "id",
        "name",
        "network_id",
        "mac_address",
        "admin_state_up",
        "status",
        "device_id",
        "device_owner",
        "port_security_enabled",
        "allowed_address_pairs",
        "dns_name",
        "qos_policy_id",
    )
    return {name: getattr(row, name) for name in names} | {"binding:vnic_type": row.vnic_type}


def bridge_name(network: Network) -> str:
    """Bridge of a tenant's network on each host that has a port of it (`infra.hostnet.segment`)."""
    return f"br-{network.id[:11]}"


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
            raise invalid(f"'{name[:64]}' is not of the form <key>=[value]")
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
        "qos_policy_id": text(Port.qos_policy_id),
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
    named_by=frozenset({"id", "device_id"}),
    unfiltered=PRIVATE | {"allowed_address_pairs", "dns_assignment", "qos_network_policy_id", "trunk_details"},
)
