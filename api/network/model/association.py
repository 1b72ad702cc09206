"""Which port a floating address leads to, and through which router."""

from sqlmodel import Session, col, select

from api.network.ask import Asker
from api.network.errors import bad_request, conflict, typed
from api.network.model import own_ports
from api.network.model.kinds import find
from api.network.model.port_view import PORTS
from infra.tables.network import FloatingIp, Port, PortAddress, PortForwarding, Router, Subnet

DHCP = "network:dhcp"


def change(session: Session, ask: Asker, row: FloatingIp, port_id: str | None, fixed_ip: str | None) -> None:
    """Leads the address to the port, or (None) nowhere. The hosts make it ACTIVE once it really leads there."""
    forwarded = select(PortForwarding.id).where(PortForwarding.floatingip_id == row.id)
    if session.exec(forwarded).first():
        raise conflict("FipInUseByPortForwarding", f"Floating IP {row.id} in use by Port Forwarding resources.")
    if port_id is None:
        if fixed_ip:
            raise bad_request("floatingip", "fixed_ip_address cannot be specified without a port_id")
        row.port_id = row.fixed_ip_address = row.router_id = None
        row.status = "DOWN"
        return
    port = find(session, ask, PORTS, port_id)
    address = _internal(session, ask, row, port, fixed_ip)
    router_id = router_between(session, row.floating_network_id, port, address)
    _check_single(session, row, port, address)
    if session.exec(select(PortForwarding.id).where(PortForwarding.internal_port_id == port.id)).first():
        words = f"Cannot associate floating IP to port {port.id} because it already has a Port Forwarding binding."
        raise typed(400, "PortHasPortForwarding", words)
    if (row.port_id, row.fixed_ip_address, row.router_id) != (port.id, address.ip_address, router_id):
        row.port_id, row.fixed_ip_address, row.router_id = port.id, address.ip_address, router_id
        row.status = "DOWN"


def _internal(session: Session, ask: Asker, row: FloatingIp, port: Port, fixed_ip: str | None) -> PortAddress:
    if port.project_id != row.project_id and not ask.sees_all:
        raise bad_request(
            "floatingip",
            f"Cannot process floating IP association with Port {port.id}, since that port is owned by a different "
            "project",
        )
    if port.device_owner == DHCP:
        raise bad_request("floatingip", f"Port {port.id} is unable to be assigned a floating IP")
    return internal_address(session, port, fixed_ip)


def internal_address(session: Session, port: Port, fixed_ip: str | None) -> PortAddress:
    """The port's IPv4 address that is meant; 400 when it has none, not this one, or several and none is named."""
    have = [one for one in own_ports.addresses_of(session, port.id) if "." in one.ip_address]
    if fixed_ip:
        found = next((one for one in have if one.ip_address == fixed_ip), None)
        if found is None:
            raise bad_request("floatingip", f"Port {port.id} does not have fixed ip {fixed_ip}")
        return found
    if not have:
        raise bad_request("floatingip", f"Cannot add floating IP to port {port.id} that has no fixed IPv4 addresses")
    if len(have) > 1:
        raise bad_request(
            "floatingip",
            f"Port {port.id} has multiple fixed IPv4 addresses.  Must provide a specific IPv4 address when assigning "
            "a floating IP",
        )
    return have[0]


def router_between(session: Session, external: str, port: Port, address: PortAddress) -> str:
    """The router with an interface on the address's subnet and its gateway on `external`, preferably the one that is
    the subnet's gateway; 404 ExternalGatewayForFloatingIPNotFound when there is none."""
    gateways = select(Port.device_id).where(Port.network_id == external, Port.device_owner == own_ports.GATEWAY)
    query = select(Router.id, PortAddress.ip_address).join(Port, col(Port.device_id) == col(Router.id))
    query = query.join(PortAddress, col(PortAddress.port_id) == col(Port.id))
    query = query.where(Port.device_owner == own_ports.INTERFACE, PortAddress.subnet_id == address.subnet_id)
    found = session.exec(query.where(col(Router.id).in_(gateways)).order_by(Router.id)).all()
    if not found:
        raise typed(
            404,
            "ExternalGatewayForFloatingIPNotFound",
            f"External network {external} is not reachable from subnet {address.subnet_id}.  Therefore, cannot "
            f"associate Port {port.id} with a Floating IP.",
        )
    gateway_ip = session.get_one(Subnet, address.subnet_id).gateway_ip
    return next((router_id for router_id, ip in found if ip == gateway_ip), found[0][0])


def _check_single(session: Session, row: FloatingIp, port: Port, address: PortAddress) -> None:
    same = select(FloatingIp.id).where(
        FloatingIp.port_id == port.id,
        FloatingIp.fixed_ip_address == address.ip_address,
        FloatingIp.floating_network_id == row.floating_network_id,
        FloatingIp.id != row.id,
    )
    if session.exec(same).first():
        raise conflict(
            "FloatingIPPortAlreadyAssociated",
            f"Cannot associate floating IP {row.floating_ip_address} ({row.id}) with port {port.id} using fixed IP "
            f"{address.ip_address}, as that fixed IP already has a floating IP on external network "
            f"{row.floating_network_id}.",
        )


def release(session: Session, port_id: str) -> None:
    """Takes every floating address off a port that is to go, and ends what is forwarded to it."""
    for forwarding in session.exec(select(PortForwarding).where(PortForwarding.internal_port_id == port_id)).all():
        parent = session.get_one(FloatingIp, forwarding.floatingip_id)
        session.delete(forwarding)
        session.flush()
        loosen(session, parent)
    for row in session.exec(select(FloatingIp).where(FloatingIp.port_id == port_id)):
        row.port_id = row.fixed_ip_address = row.router_id = None
        row.status = "DOWN"
        row.touch()
    session.flush()


def loosen(session: Session, parent: FloatingIp) -> None:
    """An address without association and forwardings lies on no router."""
    left = select(PortForwarding.id).where(PortForwarding.floatingip_id == parent.id)
    if parent.port_id is None and not session.exec(left).first():
        parent.router_id, parent.status = None, "DOWN"
    parent.touch()


def check_kept(session: Session, port_id: str, kept: set[str]) -> None:
    """400 when an address that a floating one leads to is not among those that the port keeps."""
    used = set(session.exec(select(FloatingIp.fixed_ip_address).where(FloatingIp.port_id == port_id)))
    forwarded = select(PortForwarding.internal_ip_address).where(PortForwarding.internal_port_id == port_id)
    if (used | set(session.exec(forwarded))) - kept:
        raise bad_request(
            "port",
            f"Cannot update the fixed_ips of the port {port_id}, because its original fixed_ip has been associated to "
            "a floating ip",
        )
