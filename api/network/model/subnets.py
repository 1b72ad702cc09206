"""Subnets: what they look like, who sees them, and deleting them."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, delete, not_, or_
from sqlmodel import Session, col, select

from api.network import server_ports
from api.network.ask import Asker
from api.network.errors import conflict, forbidden
from api.network.model import shares, tags
from api.network.model.kinds import (
    Kind,
    View,
    boolean,
    number,
    standard,
    standard_filters,
    standard_sort,
    tags_of,
    text,
    truth,
)
from api.network.model.networks import REMOVED_WITH_NETWORK
from infra.tables.network import Network, Port, PortAddress, Subnet


def _visible(project_id: str) -> ColumnElement[bool]:
    usable = col(Network.id).in_(shares.usable(project_id, shares.SHARED, shares.EXTERNAL))
    networks = select(Network.id).where(or_(col(Network.project_id) == project_id, usable))
    return or_(col(Subnet.project_id) == project_id, col(Subnet.network_id).in_(networks))


def _render(session: Session, rows: Sequence[Subnet], _view: View) -> list[dict[str, Any]]:
    words = tags_of(session, rows)
    return [_shown(row) | standard(row, words[row.id]) for row in rows]


def _shown(row: Subnet) -> dict[str, Any]:
    return {
        "id": row.id,
        "name": row.name,
        "network_id": row.network_id,
        "ip_version": row.ip_version,
        "cidr": row.cidr,
        "gateway_ip": row.gateway_ip,
        "enable_dhcp": row.enable_dhcp,
        "allocation_pools": row.allocation_pools,
        "dns_nameservers": row.dns_nameservers,
        "host_routes": row.host_routes,
        "ipv6_ra_mode": row.ipv6_ra_mode,
        "ipv6_address_mode": row.ipv6_address_mode,
        "subnetpool_id": row.subnetpool_id,
        "service_types": row.service_types,
    }


def _shared(values: list[str]) -> ColumnElement[bool]:
    """Whether the network is shared with every project."""
    everyones = col(Subnet.network_id).in_(shares.usable(shares.ALL))
    return or_(*(everyones if truth(value) else not_(everyones) for value in values))


def _external(values: list[str]) -> ColumnElement[bool]:
    return col(Subnet.network_id).in_(select(Network.id).where(boolean(Network.external)(values)))


SUBNETS = Kind(
    member="subnet",
    collection="subnets",
    table=Subnet,
    missing=("SubnetNotFound", "Subnet {} could not be found."),
    visible=_visible,
    render=_render,
    named_by=frozenset({"id", "network_id"}),
    filters=standard_filters(Subnet)
    | {
        "name": text(Subnet.name),
        "network_id": text(Subnet.network_id),
        "cidr": text(Subnet.cidr),
        "gateway_ip": text(Subnet.gateway_ip),
        "enable_dhcp": boolean(Subnet.enable_dhcp),
        "ip_version": number(Subnet.ip_version),
        "ipv6_ra_mode": text(Subnet.ipv6_ra_mode),
        "ipv6_address_mode": text(Subnet.ipv6_address_mode),
        "subnetpool_id": text(Subnet.subnetpool_id),
        "shared": _shared,
        "router:external": _external,
    },
    sortable=standard_sort(Subnet) | {"name": Subnet.name, "cidr": Subnet.cidr, "network_id": Subnet.network_id},
    unfiltered=frozenset({"allocation_pools", "dns_nameservers", "host_routes", "service_types"}),
)


def remove(session: Session, ask: Asker, row: Subnet) -> None:
    """409 SubnetInUse while ports other than those of DHCP have an address of it. Addresses that hosts made for
    themselves go with the subnet, those of routers do not."""
    enforce(session, ask, "delete_subnet", row)
    users = select(Port.id).join(PortAddress, col(PortAddress.port_id) == col(Port.id))
    users = users.where(PortAddress.subnet_id == row.id, col(Port.device_owner).not_in(REMOVED_WITH_NETWORK))
    if row.auto_addressed:
        users = users.where(col(Port.device_owner).startswith("network:router"))
    if session.exec(users).first():
        raise conflict(
            "SubnetInUse",
            f"Unable to complete operation on subnet {row.id}: One or more ports have an IP allocation from this "
            "subnet.",
        )
    mine = col(PortAddress.subnet_id) == row.id
    server_ports.readdressed(session, session.exec(select(PortAddress.port_id).where(mine)).all())
    session.exec(delete(PortAddress).where(mine))
    tags.forget(session, row.id)
    session.get_one(Network, row.network_id).touch()
    session.delete(row)


def enforce(session: Session, ask: Asker, rule: str, row: Subnet) -> None:
    """The subnet's owner may, and its network's; 403 for others."""
    network = session.get_one(Network, row.network_id)
    if not (ask.allows(rule, row.project_id, network.project_id) or ask.allows(rule, row.project_id)):
        raise forbidden(rule)
