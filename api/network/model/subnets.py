"""Subnets: what they look like, who sees them, making, changing and deleting them."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, delete, or_
from sqlmodel import Session, col, select

from api.network.ask import Asker
from api.network.errors import conflict, forbidden
from api.network.model import quotas, ranges, tags
from api.network.model.kinds import (
    Kind,
    View,
    boolean,
    find,
    standard,
    standard_filters,
    standard_sort,
    tags_of,
    text,
)
from api.network.model.networks import NETWORKS, REMOVED_WITH_NETWORK
from api.network.schemas.subnets import SubnetCreate, SubnetUpdate
from infra.tables.network import Network, Port, PortAddress, Subnet


def _visible(project_id: str) -> ColumnElement[bool]:
    networks = select(Network.id).where(or_(col(Network.project_id) == project_id, col(Network.shared)))
    return or_(col(Subnet.project_id) == project_id, col(Subnet.network_id).in_(networks))


def _render(session: Session, rows: Sequence[Subnet], _view: View) -> list[dict[str, Any]]:
    words = tags_of(session, rows)
    return [_shown(row) | standard(row, words[row.id]) for row in rows]


def _shown(row: Subnet) -> dict[str, Any]:
    return {
        "id": row.id,
        "name": row.name,
        "network_id": row.network_id,
        "ip_version": 4,
        "cidr": row.cidr,
        "gateway_ip": row.gateway_ip,
        "enable_dhcp": row.enable_dhcp,
        "allocation_pools": row.allocation_pools,
        "dns_nameservers": row.dns_nameservers,
        "host_routes": row.host_routes,
        "ipv6_ra_mode": None,
        "ipv6_address_mode": None,
        "subnetpool_id": None,
        "service_types": [],
    }


def _version(values: list[str]) -> ColumnElement[bool]:
    return col(Subnet.id) == col(Subnet.id) if "4" in values else col(Subnet.id) == ""


def _shared(values: list[str]) -> ColumnElement[bool]:
    return col(Subnet.network_id).in_(select(Network.id).where(boolean(Network.shared)(values)))


SUBNETS = Kind(
    member="subnet",
    collection="subnets",
    table=Subnet,
    missing=("SubnetNotFound", "Subnet {} could not be found."),
    visible=_visible,
    render=_render,
    filters=standard_filters(Subnet)
    | {
        "name": text(Subnet.name),
        "network_id": text(Subnet.network_id),
        "cidr": text(Subnet.cidr),
        "gateway_ip": text(Subnet.gateway_ip),
        "enable_dhcp": boolean(Subnet.enable_dhcp),
        "ip_version": _version,
        "shared": _shared,
    },
    sortable=standard_sort(Subnet) | {"name": Subnet.name, "cidr": Subnet.cidr, "network_id": Subnet.network_id},
    unfiltered=frozenset(
        {"allocation_pools", "dns_nameservers", "host_routes", "subnetpool_id", "ipv6_ra_mode", "ipv6_address_mode"}
    ),
)


def create(session: Session, ask: Asker, body: SubnetCreate, _given: list[str]) -> Subnet:
    """Gateway: as given, none if null, the first address if not given. Pools: as given, or all that is left."""
    project_id = ask.owner(body.project_id, body.tenant_id)
    network = find(session, ask, NETWORKS, body.network_id)
    ask.enforce("create_subnet", project_id, network.project_id)
    cidr = ranges.subnet_cidr(body.ip_version, body.cidr, body.enable_dhcp)
    others = session.exec(select(Subnet.cidr).where(Subnet.network_id == network.id))
    ranges.check_overlap(cidr, network.id, others)
    gateway = body.gateway_ip if "gateway_ip" in body.model_fields_set else ranges.default_gateway(cidr)
    pools = [pool.model_dump() for pool in body.allocation_pools or []]
    ranges.check_gateway(cidr, gateway)
    pools = ranges.checked_pools(cidr, gateway, pools) if pools else ranges.default_pools(cidr, gateway)
    quotas.check(session, project_id, "subnet")
    row = Subnet(
        project_id=project_id,
        cidr=str(cidr),
        gateway_ip=gateway,
        allocation_pools=pools,
        **body.model_dump(
            include={"network_id", "name", "description", "enable_dhcp", "dns_nameservers", "host_routes"}
        ),
    )
    session.add(row)
    session.flush()
    tags.add(session, row, body.tags)
    network.touch()
    return row


def update(session: Session, ask: Asker, row: Subnet, body: SubnetUpdate, _given: list[str]) -> None:
    _enforce(session, ask, "update_subnet", row)
    changes = body.model_dump(include=body.model_fields_set)
    cidr = ranges.subnet_cidr(4, row.cidr, changes.get("enable_dhcp", row.enable_dhcp))
    if "gateway_ip" in changes or "allocation_pools" in changes:
        gateway = changes.get("gateway_ip", row.gateway_ip)
        ranges.check_gateway(cidr, gateway)
        changes["allocation_pools"] = ranges.checked_pools(
            cidr, gateway, changes.get("allocation_pools", row.allocation_pools)
        )
        _check_gateway_free(session, row, gateway)
    for name, value in changes.items():
        setattr(row, name, value)
    row.touch()


def _enforce(session: Session, ask: Asker, rule: str, row: Subnet) -> None:
    """The subnet's owner may, and its network's; 403 for others."""
    network = session.get_one(Network, row.network_id)
    if not (ask.allows(rule, row.project_id, network.project_id) or ask.allows(rule, row.project_id)):
        raise forbidden(rule)


def _check_gateway_free(session: Session, row: Subnet, gateway: str | None) -> None:
    holder = session.get(PortAddress, (row.id, gateway)) if gateway and gateway != row.gateway_ip else None
    if holder:
        raise conflict("GatewayIpInUse", f"Gateway ip {gateway} already in use by port {holder.port_id}.")


def remove(session: Session, ask: Asker, row: Subnet) -> None:
    """409 SubnetInUse while ports other than those of DHCP have an address of it."""
    _enforce(session, ask, "delete_subnet", row)
    users = select(Port.id).join(PortAddress, col(PortAddress.port_id) == col(Port.id))
    users = users.where(PortAddress.subnet_id == row.id, col(Port.device_owner).not_in(REMOVED_WITH_NETWORK))
    if session.exec(users).first():
        raise conflict(
            "SubnetInUse",
            f"Unable to complete operation on subnet {row.id}: One or more ports have an IP allocation from this "
            "subnet.",
        )
    session.exec(delete(PortAddress).where(col(PortAddress.subnet_id) == row.id))
    tags.forget(session, row.id)
    session.get_one(Network, row.network_id).touch()
    session.delete(row)
