"""Ports that this service makes for itself: of routers, of floating addresses."""

from collections.abc import Sequence

from sqlalchemy import delete
from sqlmodel import Session, col, select

from api.network.model import addresses, macs, tags
from api.network.schemas.ports import FixedIp
from infra.tables.network import FloatingIp, Port, PortAddress

INTERFACE = "network:router_interface"
GATEWAY = "network:router_gateway"
FLOATING = "network:floatingip"
OWN = (INTERFACE, GATEWAY, FLOATING)
"""Device owners of ports that only the routes of routers and floating addresses make and delete."""


def make(
    session: Session, network_id: str, owner: tuple[str, str], project_id: str, asked: Sequence[FixedIp] | None
) -> Port:
    """A port of `owner` (device owner, device id); nothing filters it. Raises as addresses.assign does."""
    row = Port(
        project_id=project_id,
        network_id=network_id,
        mac_address=macs.choose(session, network_id, None),
        device_owner=owner[0],
        device_id=owner[1],
        port_security_enabled=False,
    )
    have = addresses.assign(session, row, asked or None)
    session.add(row)
    session.flush()
    session.add_all(have)
    session.flush()
    return row


def drop(session: Session, port_id: str) -> None:
    tags.forget(session, port_id)
    session.exec(delete(Port).where(col(Port.id) == port_id))


def drop_floating(session: Session, address: FloatingIp) -> None:
    """A floating address, and the port that holds it."""
    tags.forget(session, address.id)
    session.delete(address)
    session.flush()
    drop(session, address.floating_port_id)


def of_router(session: Session, router_id: str, *owners: str) -> list[Port]:
    """The router's ports with one of these device owners, oldest first."""
    query = select(Port).where(Port.device_id == router_id, col(Port.device_owner).in_(owners or OWN))
    return list(session.exec(query.order_by(col(Port.created_at), col(Port.id))))


def addresses_of(session: Session, port_id: str) -> list[PortAddress]:
    query = select(PortAddress).where(PortAddress.port_id == port_id)
    return list(session.exec(query.order_by(PortAddress.subnet_id, col(PortAddress.number))))
