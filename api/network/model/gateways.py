"""The way out of a router: its port on an external network."""

from ipaddress import ip_network

from sqlmodel import Session, col, select

from api.network.ask import Asker
from api.network.errors import bad_request, conflict
from api.network.model import own_ports, router_routes
from api.network.model.kinds import find
from api.network.model.networks import NETWORKS
from api.network.schemas.ports import FixedIp
from api.network.schemas.routers import Gateway
from infra.tables.network import FloatingIp, Network, Port, PortAddress, Router, Subnet


def change(session: Session, ask: Asker, row: Router, wanted: Gateway | None, verb: str) -> None:
    """Sets, changes or takes away (`wanted` None) the gateway; `verb` is the one of the policy's rules.

    Raises 400 for a network that is not external and for addresses of its own gateway, 409 while floating addresses
    or routes need the old one."""
    current = port_of(session, row)
    if wanted is None:
        _check_unused(session, row, current)
        drop(session, row)
        row.enable_snat = True
        router_routes.check(session, row)
        return
    rule = f"{verb}_router:external_gateway_info"
    if wanted.enable_snat is not None:
        ask.enforce(f"{rule}:enable_snat", row.project_id)
    if wanted.external_fixed_ips:
        ask.enforce(f"{rule}:external_fixed_ips", row.project_id)
    network = find(session, ask, NETWORKS, wanted.network_id)
    if not network.external:
        raise bad_request("router", f"Network {network.id} is not an external network")
    row.enable_snat = True if wanted.enable_snat is None else wanted.enable_snat
    if current is None or current.network_id != network.id or _differs(session, current, wanted.external_fixed_ips):
        if current is not None and current.network_id != network.id:
            _check_unused(session, row, current)
        _plug(session, row, network, wanted.external_fixed_ips)


def port_of(session: Session, row: Router) -> Port | None:
    return next(iter(own_ports.of_router(session, row.id, own_ports.GATEWAY)), None)


def drop(session: Session, row: Router) -> None:
    for port in own_ports.of_router(session, row.id, own_ports.GATEWAY):
        own_ports.drop(session, port.id)


def _plug(session: Session, row: Router, network: Network, asked: list[FixedIp]) -> None:
    subnets = list(session.exec(select(Subnet).where(Subnet.network_id == network.id)))
    for fixed in asked:
        if fixed.ip_address and fixed.ip_address in {subnet.gateway_ip for subnet in subnets}:
            raise bad_request("router", f"External IP {fixed.ip_address} is the same as the gateway IP")
    check_overlap(session, row, subnets)
    drop(session, row)
    own_ports.make(session, network.id, (own_ports.GATEWAY, row.id), "", asked)


def check_overlap(session: Session, row: Router, subnets: list[Subnet]) -> None:
    """400 when one of `subnets` overlaps with one that an interface of the router lies in."""
    query = select(Subnet).join(PortAddress, col(PortAddress.subnet_id) == col(Subnet.id))
    query = query.join(Port, col(Port.id) == col(PortAddress.port_id))
    for mine in session.exec(query.where(Port.device_id == row.id, Port.device_owner == own_ports.INTERFACE)):
        for other in subnets:
            one, two = ip_network(other.cidr), ip_network(mine.cidr)
            if one.version == two.version and one.overlaps(two):
                words = f"Cidr {other.cidr} of subnet {other.id} overlaps with cidr {mine.cidr} of subnet {mine.id}"
                raise bad_request("router", words)


def _differs(session: Session, current: Port, asked: list[FixedIp]) -> bool:
    """Whether addresses are asked for that the gateway does not have."""
    have = own_ports.addresses_of(session, current.id)
    return bool(asked) and (
        len(asked) != len(have)
        or not all(
            any(one.ip_address in (None, mine.ip_address) and one.subnet_id in (None, mine.subnet_id) for mine in have)
            for one in asked
        )
    )


def _check_unused(session: Session, row: Router, current: Port | None) -> None:
    if current and session.exec(select(FloatingIp.id).where(FloatingIp.router_id == row.id)).first():
        raise conflict(
            "RouterExternalGatewayInUseByFloatingIp",
            f"Gateway cannot be updated for router {row.id}, since a gateway to external network "
            f"{current.network_id} is required by one or more floating IPs.",
        )
