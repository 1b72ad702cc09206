"""Networks: what they look like, who sees them, making, changing and deleting them."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, delete, or_
from sqlmodel import Session, col, select

from api.network.ask import Asker
from api.network.errors import conflict
from api.network.model import quotas, segments, tags
from api.network.model.kinds import (
    Kind,
    View,
    batches,
    boolean,
    number,
    standard,
    standard_filters,
    standard_sort,
    tags_of,
    text,
)
from api.network.schemas.networks import NetworkCreate, NetworkUpdate
from infra.tables.network import Network, Port, Subnet

REMOVED_WITH_NETWORK = ("network:dhcp", "network:distributed")
"""Owners of ports that do not keep a network or subnet from being deleted."""
PROVIDER = ("provider:network_type", "provider:physical_network", "provider:segmentation_id")


def _visible(project_id: str) -> ColumnElement[bool]:
    return or_(col(Network.project_id) == project_id, col(Network.shared), col(Network.external))


def _subnets(session: Session, rows: Sequence[Network]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {row.id: [] for row in rows}
    for ids in batches(list(found)):
        query = select(Subnet.network_id, Subnet.id).where(col(Subnet.network_id).in_(ids))
        for network_id, subnet_id in session.exec(query.order_by(col(Subnet.created_at), col(Subnet.id))):
            found[network_id].append(subnet_id)
    return found


def _render(session: Session, rows: Sequence[Network], view: View) -> list[dict[str, Any]]:
    subnets, words = _subnets(session, rows), tags_of(session, rows)
    return [_shown(row, subnets[row.id], view) | standard(row, words[row.id]) for row in rows]


def _shown(row: Network, subnets: list[str], view: View) -> dict[str, Any]:
    shown = {
        "id": row.id,
        "name": row.name,
        "admin_state_up": row.admin_state_up,
        "status": "ACTIVE",
        "subnets": subnets,
        "shared": row.shared,
        "router:external": row.external,
        "mtu": row.mtu,
        "dns_domain": row.dns_domain,
        "port_security_enabled": row.port_security_enabled,
        "availability_zone_hints": [],
        "availability_zones": [],
        "ipv4_address_scope": None,
        "ipv6_address_scope": None,
    }
    if view.sees_all:
        shown |= dict(zip(PROVIDER, (row.network_type, row.physical_network, row.segmentation_id), strict=True))
    return shown


NETWORKS = Kind(
    member="network",
    collection="networks",
    table=Network,
    missing=("NetworkNotFound", "Network {} could not be found."),
    visible=_visible,
    render=_render,
    filters=standard_filters(Network)
    | {
        "name": text(Network.name),
        "admin_state_up": boolean(Network.admin_state_up),
        "status": lambda values: col(Network.id) == col(Network.id) if "ACTIVE" in values else col(Network.id) == "",
        "shared": boolean(Network.shared),
        "router:external": boolean(Network.external),
        "mtu": number(Network.mtu),
        "port_security_enabled": boolean(Network.port_security_enabled),
        "provider:network_type": text(Network.network_type),
        "provider:physical_network": text(Network.physical_network),
        "provider:segmentation_id": number(Network.segmentation_id),
        "dns_domain": text(Network.dns_domain),
    },
    sortable=standard_sort(Network)
    | {"name": Network.name, "mtu": Network.mtu, "provider:network_type": Network.network_type},
    private=frozenset(PROVIDER),
    unfiltered=frozenset({"subnets", "availability_zone_hints", "availability_zones"}),
)


def create(session: Session, ask: Asker, body: NetworkCreate, given: list[str]) -> Network:
    """`given` names the attributes that differ from their defaults, for the rules that some of them have."""
    project_id = ask.owner(body.project_id, body.tenant_id)
    ask.enforce("create_network", project_id)
    ask.enforce_attributes("create_network", given, project_id)
    segment = segments.choose(session, body)
    quotas.check(session, project_id, "network")
    row = Network(
        project_id=project_id,
        network_type=segment.kind,
        physical_network=segment.physical,
        segmentation_id=segment.number,
        **body.model_dump(
            include={
                "name",
                "description",
                "admin_state_up",
                "shared",
                "external",
                "port_security_enabled",
                "dns_domain",
            }
        ),
        mtu=segments.mtu(segment.kind, body.mtu),
    )
    session.add(row)
    session.flush()
    tags.add(session, row, body.tags)
    return row


def update(session: Session, ask: Asker, row: Network, body: NetworkUpdate, given: list[str]) -> None:
    ask.enforce("update_network", row.project_id)
    ask.enforce_attributes("update_network", given, row.project_id)
    if "shared" in given and row.shared and not body.shared:
        _check_unshare(session, row)
    for name, value in body.model_dump(include=body.model_fields_set).items():
        setattr(row, name, segments.mtu(row.network_type, value) if name == "mtu" else value)
    row.touch()


def _check_unshare(session: Session, row: Network) -> None:
    others = select(Port.id).where(Port.network_id == row.id, Port.project_id != row.project_id)
    if session.exec(others.where(col(Port.device_owner).not_in(REMOVED_WITH_NETWORK))).first():
        raise conflict(
            "InvalidSharedSetting",
            f"Unable to reconfigure sharing settings for network {row.name}. Multiple tenants are using it.",
        )


def remove(session: Session, ask: Asker, row: Network) -> None:
    """Deletes the network with its subnets and DHCP ports; 409 NetworkInUse while it has other ports."""
    ask.enforce("delete_network", row.project_id)
    ports = list(session.exec(select(Port).where(Port.network_id == row.id)))
    if used := [port.id for port in ports if port.device_owner not in REMOVED_WITH_NETWORK]:
        raise conflict(
            "NetworkInUse",
            f"Unable to complete operation on network {row.id}. There are one or more ports still in use on the "
            f"network, id for these ports: {','.join(used[:10])}.",
        )
    subnets = session.exec(select(Subnet.id).where(Subnet.network_id == row.id)).all()
    tags.forget(session, row.id, *subnets, *(port.id for port in ports))
    session.exec(delete(Port).where(col(Port.network_id) == row.id))
    session.exec(delete(Network).where(col(Network.id) == row.id))
