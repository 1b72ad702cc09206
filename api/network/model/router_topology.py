"""Routers of one host as its data plane needs them."""

from collections.abc import Sequence
from ipaddress import ip_network
from typing import Any

from sqlmodel import Session, col, select

from api.network.model.kinds import batches
from api.network.model.placement import GATEWAY
from api.network.model.port_forwardings import ports_shown
from api.network.model.port_view import fixed_ips
from infra.tables.network import FloatingIp, Port, PortForwarding, Router, Subnet

Found = dict[str, list[dict[str, Any]]]


def of(session: Session, rows: Sequence[Router]) -> tuple[list[dict[str, Any]], set[str]]:
    """The routers, and the networks that they have ports on."""
    ids = [row.id for row in rows]
    ports = [
        port
        for part in batches(ids)
        for port in session.exec(select(Port).where(col(Port.device_id).in_(part)).order_by(Port.id))
        if port.device_owner.startswith("network:router")
    ]
    networks = {port.network_id for port in ports}
    subnets = _subnets(session, networks)
    shown = _ports(session, ports, subnets)
    addresses, forwardings = _floating_ips(session, ids), _forwardings(session, ids)
    return [
        {"id": row.id, "project_id": row.project_id, "admin_state_up": row.admin_state_up, "routes": row.routes}
        | _plugged(row, [port for port in ports if port.device_id == row.id], shown, subnets)
        | {"floating_ips": addresses[row.id], "port_forwardings": forwardings[row.id]}
        for row in rows
    ], networks


def _plugged(
    row: Router, ports: Sequence[Port], shown: dict[str, dict[str, Any]], subnets: dict[str, Subnet]
) -> dict[str, Any]:
    gateway = next((shown[port.id] for port in ports if port.device_owner == GATEWAY), None)
    return {
        "interfaces": [shown[port.id] for port in ports if port.device_owner != GATEWAY],
        "gateway": gateway and gateway | _way_out(row, gateway, subnets),
    }


def _way_out(row: Router, gateway: dict[str, Any], subnets: dict[str, Subnet]) -> dict[str, Any]:
    """`gateway_ip` is the first IPv4 gateway of the external subnets that the router has an address of."""
    hops = [subnets[fixed["subnet_id"]] for fixed in gateway["fixed_ips"]]
    return {
        "gateway_ip": next((hop.gateway_ip for hop in hops if hop.ip_version == 4 and hop.gateway_ip), None),
        "gateway_ipv6": next((hop.gateway_ip for hop in hops if hop.ip_version == 6 and hop.gateway_ip), None),
        "enable_snat": row.enable_snat,
    }


def _ports(session: Session, ports: Sequence[Port], subnets: dict[str, Subnet]) -> dict[str, dict[str, Any]]:
    addresses = fixed_ips(session, [port.id for port in ports])
    return {
        port.id: {
            "port_id": port.id,
            "network_id": port.network_id,
            "mac_address": port.mac_address,
            "admin_state_up": port.admin_state_up,
            "fixed_ips": [
                fixed | {"prefixlen": ip_network(subnets[fixed["subnet_id"]].cidr).prefixlen}
                for fixed in addresses[port.id]
            ],
        }
        for port in ports
    }


def _subnets(session: Session, networks: set[str]) -> dict[str, Subnet]:
    return {
        row.id: row
        for part in batches(sorted(networks))
        for row in session.exec(select(Subnet).where(col(Subnet.network_id).in_(part)))
    }


def _floating_ips(session: Session, ids: Sequence[str]) -> Found:
    found: Found = {router_id: [] for router_id in ids}
    for part in batches(ids):
        query = select(FloatingIp).where(col(FloatingIp.router_id).in_(part), col(FloatingIp.port_id).is_not(None))
        for row in session.exec(query.order_by(FloatingIp.id)):
            names = ("id", "floating_ip_address", "fixed_ip_address", "port_id")
            found[str(row.router_id)].append({name: getattr(row, name) for name in names})
    return found


def _forwardings(session: Session, ids: Sequence[str]) -> Found:
    found: Found = {router_id: [] for router_id in ids}
    for part in batches(ids):
        query = select(FloatingIp, PortForwarding)
        query = query.join(PortForwarding, col(PortForwarding.floatingip_id) == col(FloatingIp.id))
        for address, row in session.exec(query.where(col(FloatingIp.router_id).in_(part)).order_by(PortForwarding.id)):
            found[str(address.router_id)].append(
                {
                    "id": row.id,
                    "floatingip_id": address.id,
                    "floating_ip_address": address.floating_ip_address,
                    "protocol": row.protocol,
                    "internal_ip_address": row.internal_ip_address,
                    "internal_port_id": row.internal_port_id,
                }
                | ports_shown(row)
            )
    return found
