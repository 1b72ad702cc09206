"""Interfaces of routers: ports on tenants' subnets, by subnet or by port."""

from collections.abc import Sequence
from ipaddress import ip_address, ip_network
from typing import Any

from sqlmodel import Session, col, select

from api.network.ask import Asker
from api.network.errors import bad_request, conflict, typed
from api.network.model import addresses, gateways, own_ports, placement, port_forwardings, quotas, router_routes
from api.network.model.kinds import find
from api.network.model.port_view import PORTS
from api.network.model.subnets import SUBNETS
from api.network.schemas.ports import FixedIp
from api.network.schemas.routers import Interface
from infra.tables.network import FloatingIp, Network, Port, PortAddress, Router, Subnet

Shown = dict[str, Any]


def add(session: Session, ask: Asker, row: Router, wanted: Interface) -> Shown:
    """The new interface; 400 when its subnet has no gateway, is the router's already or overlaps with one of its."""
    ask.enforce("add_router_interface", row.project_id)
    if not (wanted.subnet_id or wanted.port_id):
        raise bad_request("router", "Either subnet_id or port_id must be specified")
    if wanted.subnet_id and wanted.port_id:
        raise bad_request("router", "Cannot specify both subnet-id and port-id")
    if wanted.port_id:
        port, subnets = _by_port(session, ask, row, find(session, ask, PORTS, wanted.port_id))
    else:
        port, subnets = _by_subnet(session, ask, row, find(session, ask, SUBNETS, str(wanted.subnet_id)))
    row.touch()
    placement.replace_router(session, row)
    return _shown(row, port, subnets)


def _shown(row: Router, port: Port, subnets: Sequence[Subnet]) -> Shown:
    ids = [subnet.id for subnet in subnets]
    return {
        "id": row.id,
        "tenant_id": row.project_id,
        "project_id": row.project_id,
        "port_id": port.id,
        "network_id": port.network_id,
        "subnet_id": ids[0],
        "subnet_ids": ids,
    }


def _by_subnet(session: Session, ask: Asker, row: Router, subnet: Subnet) -> tuple[Port, list[Subnet]]:
    if not subnet.gateway_ip:
        raise bad_request("router", "Subnet for router interface must have a gateway IP")
    network = session.get_one(Network, subnet.network_id)
    if not (ask.sees_all or ask.project_id in (subnet.project_id, network.project_id)):
        raise bad_request(
            "router",
            f"Cannot add interface to router because subnet {subnet.id} is not owned by project making the request",
        )
    _check_free(session, row, [subnet])
    fixed = FixedIp(ip_address=subnet.gateway_ip, subnet_id=subnet.id)
    if subnet.ip_version == 6 and (port := _ipv6_port(session, row, subnet.network_id)):
        session.add_all(addresses.assign(session, port, [fixed]))
        port.touch()
        return port, [subnet]
    quotas.check(session, row.project_id, "port")
    owner = (own_ports.INTERFACE, row.id)
    return own_ports.make(session, subnet.network_id, owner, row.project_id, [fixed]), [subnet]


def _by_port(session: Session, ask: Asker, row: Router, port: Port) -> tuple[Port, list[Subnet]]:
    if port.device_id:
        raise conflict(
            "PortInUse",
            f"Unable to complete operation on port {port.id} for network {port.network_id}. Port already has an "
            f"attached device {port.device_id}.",
        )
    subnets = _subnets_of(session, port)
    if not subnets:
        raise bad_request("router", "Router port must have at least one fixed IP")
    ask.enforce("update_port", port.project_id)
    _check_free(session, row, subnets)
    if sum(subnet.ip_version == 4 for subnet in subnets) > 1:
        raise bad_request("router", "Cannot have multiple IPv4 subnets on router port")
    other = _ipv6_port(session, row, port.network_id)
    if other and any(subnet.ip_version == 6 for subnet in subnets):
        raise bad_request(
            "router",
            f"Router already contains IPv6 port {other.id} belonging to network id {other.network_id}. Only one IPv6 "
            "port from the same network subnet can be connected to a router.",
        )
    port.device_id, port.device_owner = row.id, own_ports.INTERFACE
    port.touch()
    return port, subnets


def _subnets_of(session: Session, port: Port) -> list[Subnet]:
    mine = select(PortAddress.subnet_id).where(PortAddress.port_id == port.id)
    return list(session.exec(select(Subnet).where(col(Subnet.id).in_(mine)).order_by(Subnet.id)))


def _ipv6_port(session: Session, row: Router, network_id: str) -> Port | None:
    """The router's interface on the network that has an IPv6 address; there is one at most."""
    for port in own_ports.of_router(session, row.id, own_ports.INTERFACE):
        if port.network_id == network_id and any(s.ip_version == 6 for s in _subnets_of(session, port)):
            return port
    return None


def _check_free(session: Session, row: Router, subnets: list[Subnet]) -> None:
    ports = own_ports.of_router(session, row.id, own_ports.INTERFACE, own_ports.GATEWAY)
    mine = {subnet.id for port in ports for subnet in _subnets_of(session, port)}
    for subnet in subnets:
        if subnet.id in mine:
            raise bad_request("router", f"Router already has a port on subnet {subnet.id}")
    gateways.check_overlap(session, row, subnets)
    gateway = gateways.port_of(session, row)
    for outside in session.exec(select(Subnet).where(Subnet.network_id == gateway.network_id)) if gateway else ():
        for subnet in subnets:
            one, two = ip_network(subnet.cidr), ip_network(outside.cidr)
            if one.version == two.version and one.overlaps(two):
                words = f"Cidr {one} of subnet {subnet.id} overlaps with cidr {two} of subnet {outside.id}"
                raise bad_request("router", words)


def remove(session: Session, ask: Asker, row: Router, wanted: Interface) -> Shown:
    """Deletes the port, or takes one subnet off it; 409 while floating addresses or routes need it."""
    ask.enforce("remove_router_interface", row.project_id)
    if not (wanted.subnet_id or wanted.port_id):
        raise bad_request("router", "Either subnet_id or port_id must be specified")
    port = _found(session, row, wanted)
    subnets = [s for s in _subnets_of(session, port) if wanted.port_id or s.id == wanted.subnet_id]
    for subnet in subnets:
        _check_unneeded(session, row, subnet)
        router_routes.check_unneeded(row, subnet)
    shown = _shown(row, port, subnets)
    if len(own_ports.addresses_of(session, port.id)) > len(subnets):
        for address in own_ports.addresses_of(session, port.id):
            if address.subnet_id == wanted.subnet_id:
                session.delete(address)
        port.touch()
    else:
        own_ports.drop(session, port.id)
    row.touch()
    return shown


def _found(session: Session, row: Router, wanted: Interface) -> Port:
    ports = own_ports.of_router(session, row.id, own_ports.INTERFACE)
    if wanted.port_id:
        port = next((port for port in ports if port.id == wanted.port_id), None)
        if port is None:
            words = f"Router {row.id} does not have an interface with id {wanted.port_id}"
            raise typed(404, "RouterInterfaceNotFound", words)
        if wanted.subnet_id and wanted.subnet_id not in {subnet.id for subnet in _subnets_of(session, port)}:
            words = f"Subnet on port {port.id} does not match the requested subnet {wanted.subnet_id}."
            raise typed(400, "SubnetMismatchForPort", words)
        return port
    for port in ports:
        if wanted.subnet_id in {subnet.id for subnet in _subnets_of(session, port)}:
            return port
    words = f"Router {row.id} has no interface on subnet {wanted.subnet_id}"
    raise typed(404, "RouterInterfaceNotFoundForSubnet", words)


def _check_unneeded(session: Session, row: Router, subnet: Subnet) -> None:
    fixed = set(session.exec(select(FloatingIp.fixed_ip_address).where(FloatingIp.router_id == row.id)))
    used = {address for address in fixed if address} | port_forwardings.internal_addresses(session, row.id)
    if any(ip_address(address) in ip_network(subnet.cidr) for address in used):
        raise conflict(
            "RouterInterfaceInUseByFloatingIP",
            f"Router interface for subnet {subnet.id} on router {row.id} cannot be deleted, as it is required by one "
            "or more floating IPs.",
        )


def of(session: Session, row: Router) -> list[Port]:
    return own_ports.of_router(session, row.id, own_ports.INTERFACE)
