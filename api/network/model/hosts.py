"""What hosts report of themselves and of what they carry: the source of every status that this service shows."""

from collections.abc import Mapping
from datetime import timedelta

from sqlalchemy import ColumnElement, func, update
from sqlmodel import Session, col, select

from api.network.model.kinds import batches
from api.network.schemas.hosts import HostReport
from infra.tables.network import FloatingIp, Host, Port, Router, now

SILENT_AFTER = timedelta(seconds=20)
"""A host that has not reported for so long loses its routers and DHCP to another one."""
UNHEARD = 0.75
"""Of that time: when no host at all was heard for so long, this service was away. Each reports every three seconds."""
NETWORK_OWNERS = "network:"


def alive() -> ColumnElement[bool]:
    """Condition on hosts: reported lately."""
    return col(Host.seen_at) > now() - SILENT_AFTER


def kept_names(session: Session) -> set[str]:
    """Of hosts that keep what they serve: they were heard when any host was last. That nobody was heard since is no
    word about them."""
    newest = session.scalar(select(func.max(Host.seen_at)))
    heard = col(Host.seen_at) > min(newest, now()) - SILENT_AFTER if newest else alive()
    return set(session.exec(select(Host.name).where(heard, col(Host.admin_state_up))))


def alive_names(session: Session) -> set[str]:
    return set(session.exec(select(Host.name).where(alive())))


def report(session: Session, name: str, body: HostReport) -> None:
    """Notes the host and its word on routers, floating addresses and ports; what is not this host's is left alone."""
    _hear_anew(session)
    host = session.get(Host, name)
    if host is None:
        host = Host(name=name)
    host.seen_at = now()
    host.tunnel_ip, host.bridge_mappings = body.tunnel_ip, body.bridge_mappings
    session.add(host)
    _routers(session, name, body.routers)
    _floating_ips(session, name, body.floating_ips)
    _ports(session, name, body.ports)
    session.flush()


def _hear_anew(session: Session) -> None:
    """This is the first report after a time in which none arrived, and this service was away rather than all hosts:
    those that were heard when it went are silent from now on."""
    newest = session.scalar(select(func.max(Host.seen_at)))
    if newest and newest < now() - SILENT_AFTER * UNHEARD:
        session.execute(update(Host).where(col(Host.seen_at) > newest - SILENT_AFTER).values(seen_at=now()))


def _routers(session: Session, host: str, states: Mapping[str, str]) -> None:
    for ids in batches(sorted(states)):
        for row in session.exec(select(Router).where(col(Router.id).in_(ids), Router.host == host)):
            row.status = states[row.id]
            inside = select(Port).where(Port.device_id == row.id, col(Port.device_owner).startswith(NETWORK_OWNERS))
            for port in session.exec(inside):
                port.status = "ACTIVE" if row.status == "ACTIVE" and port.admin_state_up else "DOWN"


def _floating_ips(session: Session, host: str, states: Mapping[str, str]) -> None:
    for ids in batches(sorted(states)):
        query = select(FloatingIp).join(Router, col(Router.id) == col(FloatingIp.router_id))
        for row in session.exec(query.where(col(FloatingIp.id).in_(ids), Router.host == host)):
            row.status = states[row.id]


def _ports(session: Session, host: str, states: Mapping[str, str]) -> None:
    for ids in batches(sorted(states)):
        for row in session.exec(select(Port).where(col(Port.id).in_(ids), Port.host == host)):
            row.status = states[row.id]
