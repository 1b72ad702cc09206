"""Which host serves each router and each network's DHCP: one that reports, until it falls silent."""

from collections import Counter
from collections.abc import Iterable

from sqlalchemy import func, or_
from sqlmodel import Session, col, select

from api.network.model.hosts import alive, kept_names
from infra.tables.network import FloatingIp, Host, Network, Port, Router, Subnet

GATEWAY = "network:router_gateway"


def place(session: Session) -> None:
    """Gives every router, and DHCP of every network that has guests, a live host that can reach its networks.

    Only what has no such host is moved, and nothing because nobody was heard, which is no word about any host. Costs
    two indexed queries while there is nothing to move."""
    hosts = list(session.exec(select(Host).where(alive(), Host.admin_state_up).order_by(Host.name)))
    kept = kept_names(session)
    _place_routers(session, hosts, kept)
    _place_dhcp(session, hosts, kept)
    session.flush()


def _place_routers(session: Session, hosts: list[Host], kept: set[str]) -> None:
    lost = or_(col(Router.host).is_(None), col(Router.host).not_in(kept))
    rows = list(session.exec(select(Router).where(lost).order_by(Router.id)))
    if not rows:
        return
    loads = Counter(dict(session.exec(select(Router.host, func.count()).group_by(Router.host)).all()))
    physical = _physical_of_routers(session, [row.id for row in rows])
    for row in rows:
        wanted = _least(hosts, physical.get(row.id, set()), loads)
        _move(session, row, wanted)


def replace_router(session: Session, row: Router) -> None:
    """After a change of the router's gateway: moves it where its host cannot reach the new external network."""
    session.flush()
    needed = _physical_of_routers(session, [row.id]).get(row.id, set())
    host = session.get(Host, row.host) if row.host else None
    if host is None or needed - host.bridge_mappings.keys():
        row.host = None
    place(session)


def _move(session: Session, row: Router, host: str | None) -> None:
    if host == row.host:
        return
    row.host, row.status = host, "BUILD" if host else "DOWN"
    for address in session.exec(select(FloatingIp).where(FloatingIp.router_id == row.id)):
        address.status = "DOWN"


def _physical_of_routers(session: Session, ids: list[str]) -> dict[str, set[str]]:
    """Physical networks that each router has a port on."""
    query = select(Port.device_id, Network.physical_network).join(Network, col(Network.id) == col(Port.network_id))
    query = query.where(col(Network.physical_network).is_not(None), col(Port.device_owner).startswith("network:router"))
    found: dict[str, set[str]] = {}
    for router_id, physical in session.exec(query.where(col(Port.device_id).in_(ids))):
        found.setdefault(router_id, set()).add(str(physical))
    return found


def _place_dhcp(session: Session, hosts: list[Host], kept: set[str]) -> None:
    served = col(Network.id).in_(select(Subnet.network_id).where(Subnet.enable_dhcp))
    used = col(Network.id).in_(select(Port.network_id).where(Port.host != ""))
    lost = or_(col(Network.dhcp_host).is_(None), col(Network.dhcp_host).not_in(kept))
    rows = list(session.exec(select(Network).where(lost, served, used).order_by(Network.id)))
    if not rows:
        return
    loads = Counter(dict(session.exec(select(Network.dhcp_host, func.count()).group_by(Network.dhcp_host)).all()))
    for row in rows:
        near = set(session.exec(select(Port.host).where(Port.network_id == row.id, Port.host != "")))
        needed = {row.physical_network} if row.physical_network else set()
        row.dhcp_host = _least([host for host in hosts if host.name in near], needed, loads) or _least(
            hosts, needed, loads
        )


def _least(hosts: Iterable[Host], needed: set[str], loads: Counter[str | None]) -> str | None:
    """The host with the least to do of those that have a bridge to each `needed` physical network."""
    able = [host.name for host in hosts if needed <= host.bridge_mappings.keys()]
    if not able:
        return None
    chosen = min(able, key=lambda name: (loads[name], name))
    loads[chosen] += 1
    return chosen
