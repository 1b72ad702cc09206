"""Notices, in a writing transaction, what servers have to know of their ports, whoever writes it.

Source: Neutron's notifier of Nova (neutron/notifiers/nova.py), which tells of ports; what a subnet or a network says of
them, Nova learns from its own looks."""

from collections.abc import Callable, Iterable, Iterator

from sqlalchemy import ColumnElement, event, inspect
from sqlalchemy.orm import UOWTransaction
from sqlmodel import Session, col, select

from api.common.telling import Event
from infra.tables.network import Network, Port, PortAddress, Subnet

OF_SUBNET = frozenset(("gateway_ip", "dns_nameservers", "host_routes", "enable_dhcp", "ipv6_address_mode"))
OF_PORT = frozenset(("mac_address",))
OF_NETWORK = frozenset(("mtu",))
CHANGED, DELETED = "network-changed", "network-vif-deleted"
SERVERS = "compute:"
AT_ONCE = 500
TOLD = "of servers' ports"
"""In a session's `info`: ids of ports, and events, that a statement changed without the session's objects."""


def watch(session: Session) -> Callable[[], list[Event]]:
    """The events of what was changed in `session` since this call; asked for before it commits. What came with its port
    is no news: whoever makes a port for a server knows it."""
    fresh: set[str] = set()
    ports, subnets, networks = set[str](), set[str](), set[str]()

    def flushing(session: Session, _context: UOWTransaction, _objects: object) -> None:
        for row in [*session.new, *session.deleted, *session.dirty]:
            new = row in session.new
            if isinstance(row, Port) and new:
                fresh.add(row.id)
            elif isinstance(row, PortAddress):
                ports.add(row.port_id)
            elif isinstance(row, Port) and _differs(row, OF_PORT):
                ports.add(row.id)
            elif isinstance(row, Subnet) and not new and _differs(row, OF_SUBNET):
                subnets.add(row.id)
            elif isinstance(row, Network) and not new and _differs(row, OF_NETWORK):
                networks.add(row.id)

    def events() -> list[Event]:
        noted: list[Event | str] = session.info.pop(TOLD, [])
        changed = (ports | {one for one in noted if isinstance(one, str)}) - fresh
        found = {Event(DELETED, one.server, one.tag) for one in noted if isinstance(one, Event)}
        having: dict[str, str] = {}
        for clause in _clauses(changed, subnets, networks):
            mine = select(Port.device_id, Port.id).where(clause, Port.device_id != "")
            having |= dict(session.exec(mine.where(col(Port.device_owner).startswith(SERVERS))).all())
        return [*found, *(Event(CHANGED, server, port_id) for server, port_id in having.items())]

    event.listen(session, "before_flush", flushing)
    return events


def deleted(session: Session, row: Port, *, by_service: bool) -> None:
    """To be called where a port is deleted. The compute service and its hosts know what they do themselves."""
    if row.device_owner.startswith(SERVERS) and row.device_id and not by_service:
        session.info.setdefault(TOLD, []).append(Event(DELETED, row.device_id, row.id))


def readdressed(session: Session, port_ids: Iterable[str]) -> None:
    """To be called where a statement takes addresses from ports."""
    session.info.setdefault(TOLD, []).extend(port_ids)


def _clauses(ports: set[str], subnets: set[str], networks: set[str]) -> Iterator[ColumnElement[bool]]:
    changed = sorted(ports)
    for start in range(0, len(changed), AT_ONCE):
        yield col(Port.id).in_(changed[start : start + AT_ONCE])
    if subnets:
        having = select(PortAddress.port_id).where(col(PortAddress.subnet_id).in_(subnets))
        yield col(Port.id).in_(having)
    if networks:
        yield col(Port.network_id).in_(networks)


def _differs(row: object, names: frozenset[str]) -> bool:
    state = inspect(row)
    assert state is not None
    return any(one.history.has_changes() for one in state.attrs if one.key in names)
