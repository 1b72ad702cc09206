"""Networks: what they look like, who sees them, making, changing and deleting them."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, delete, or_
from sqlmodel import Session, col, select

from api.network.ask import Asker
from api.network.errors import bad, conflict
from api.network.model import own_ports, pools, qos, quotas, segments, shares, tags, zones
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
from infra.tables.network import FloatingIp, Network, Port, Subnet

REMOVED_WITH_NETWORK = ("network:dhcp", "network:distributed")
"""Owners of ports that do not keep a network or subnet from being deleted."""
PLAIN = {
    "name",
    "description",
    "admin_state_up",
    "is_default",
    "port_security_enabled",
    "dns_domain",
    "availability_zone_hints",
}
"""Attributes that the store keeps as the body has them."""
PROVIDER = ("provider:network_type", "provider:physical_network", "provider:segmentation_id")


def _visible(project_id: str) -> ColumnElement[bool]:
    usable = shares.usable(project_id, shares.SHARED, shares.EXTERNAL)
    return or_(col(Network.project_id) == project_id, col(Network.id).in_(usable))


def _subnets(session: Session, rows: Sequence[Network]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {row.id: [] for row in rows}
    for ids in batches(list(found)):
        query = select(Subnet.network_id, Subnet.id).where(col(Subnet.network_id).in_(ids))
        for network_id, subnet_id in session.exec(query.order_by(col(Subnet.created_at), col(Subnet.id))):
            found[network_id].append(subnet_id)
    return found


def _render(session: Session, rows: Sequence[Network], view: View) -> list[dict[str, Any]]:
    subnets, words = _subnets(session, rows), tags_of(session, rows)
    shared, scopes = shares.shown(session, rows, view.project_id), pools.scopes_of(session, [row.id for row in rows])
    return [
        _shown(row, subnets[row.id], view)
        | {"shared": row.id in shared}
        | scopes.get(row.id, pools.NO_SCOPES)
        | standard(row, words[row.id])
        for row in rows
    ]


def _shown(row: Network, subnets: list[str], view: View) -> dict[str, Any]:
    shown = {
        "id": row.id,
        "name": row.name,
        "admin_state_up": row.admin_state_up,
        "status": "ACTIVE",
        "subnets": subnets,
        "router:external": row.external,
        "mtu": row.mtu,
        "dns_domain": row.dns_domain,
        "port_security_enabled": row.port_security_enabled,
        "availability_zone_hints": row.availability_zone_hints,
        "availability_zones": [zones.ZONE] if row.dhcp_host else [],
        "qos_policy_id": row.qos_policy_id,
    }
    if row.external:
        shown["is_default"] = row.is_default
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
        "is_default": boolean(Network.is_default),
        "qos_policy_id": text(Network.qos_policy_id),
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
    unfiltered=frozenset(
        {
            "subnets",
            "shared",
            "availability_zone_hints",
            "availability_zones",
            "ipv4_address_scope",
            "ipv6_address_scope",
        }
    ),
    shareable=True,
)


def create(session: Session, ask: Asker, body: NetworkCreate, given: list[str]) -> Network:
    """`given` names the attributes that differ from their defaults, for the rules that some of them have."""
    project_id = ask.owner(body.project_id, body.tenant_id)
    ask.enforce("create_network", project_id)
    ask.enforce_attributes("create_network", given, project_id)
    zones.check_hints(session, body.availability_zone_hints)
    segment = segments.choose(session, body)
    quotas.check(session, project_id, "network")
    row = Network(
        project_id=project_id,
        network_type=segment.kind,
        physical_network=segment.physical,
        segmentation_id=segment.number,
        qos_policy_id=qos.usable_id(session, ask, body.qos_policy_id) or qos.default_id(session, project_id),
        mtu=segments.mtu(segment.kind, body.mtu),
        **body.model_dump(include=PLAIN),
    )
    session.add(row)
    session.flush()
    _share(session, row, {name: getattr(body, name) for name in ("shared", "external") if getattr(body, name)})
    _check_default(session, row)
    tags.add(session, row, body.tags)
    return row


def update(session: Session, ask: Asker, row: Network, body: NetworkUpdate, given: list[str]) -> None:
    ask.enforce("update_network", row.project_id)
    ask.enforce_attributes("update_network", given, row.project_id)
    changes = body.model_dump(include=body.model_fields_set)
    if "mtu" in changes:
        changes["mtu"] = segments.mtu(row.network_type, changes["mtu"])
    if "qos_policy_id" in changes:
        changes["qos_policy_id"] = qos.usable_id(session, ask, body.qos_policy_id)
    _share(session, row, {name: changes.pop(name) for name in ("shared", "external") if name in changes})
    for name, value in changes.items():
        setattr(row, name, value)
    _check_default(session, row)
    row.touch()


def _share(session: Session, row: Network, wanted: dict[str, bool]) -> None:
    """409 when other projects use what is shared no longer, or gateways need the network to be external."""
    if wanted.get("shared") is False and shares.dependants(session, "network", row.id, shares.SHARED, shares.ALL):
        raise conflict(
            "InvalidSharedSetting",
            f"Unable to reconfigure sharing settings for network {row.name}. Multiple tenants are using it.",
        )
    if "shared" in wanted:
        shares.share(session, row, "network", wanted["shared"])
    if "external" in wanted:
        gateways = select(Port.id).where(Port.network_id == row.id, Port.device_owner == own_ports.GATEWAY)
        if not wanted["external"] and session.exec(gateways).first():
            raise conflict(
                "ExternalNetworkInUse",
                f"External network {row.id} cannot be updated to be made non-external, since it has existing gateway "
                "ports.",
            )
        row.external = wanted["external"]
        shares.share(session, row, "network", row.external, shares.EXTERNAL)


def _check_default(session: Session, row: Network) -> None:
    """The external network of auto-allocated topologies: 400 for one that is not external, 409 for a second one."""
    if not row.is_default:
        return
    if not row.external:
        raise bad("is_default can only be set on external networks", "InvalidInput")
    session.flush()
    if session.exec(select(Network.id).where(Network.is_default, Network.id != row.id)).first():
        raise conflict("DefaultExternalNetworkExists", "A default external network already exists.")


def remove(session: Session, ask: Asker, row: Network) -> None:
    """Deletes the network with its subnets and DHCP ports, and floating addresses that are of no port; 409
    NetworkInUse while it has other ports."""
    ask.enforce("delete_network", row.project_id)
    leads_nowhere = (col(FloatingIp.port_id).is_(None), col(FloatingIp.router_id).is_(None))
    unused = select(FloatingIp).where(FloatingIp.floating_network_id == row.id, *leads_nowhere)
    for address in session.exec(unused).all():
        own_ports.drop_floating(session, address)
    ports = list(session.exec(select(Port).where(Port.network_id == row.id)))
    if used := [port.id for port in ports if port.device_owner not in REMOVED_WITH_NETWORK]:
        raise conflict(
            "NetworkInUse",
            f"Unable to complete operation on network {row.id}. There are one or more ports still in use on the "
            f"network, id for these ports: {','.join(used[:10])}.",
        )
    subnets = session.exec(select(Subnet.id).where(Subnet.network_id == row.id)).all()
    if session.exec(select(FloatingIp.id).where(FloatingIp.floating_network_id == row.id)).first():
        raise conflict("NetworkInUse", f"Unable to complete operation on network {row.id}. Floating IPs use it.")
    tags.forget(session, row.id, *subnets, *(port.id for port in ports))
    shares.forget(session, row.id)
    session.exec(delete(Port).where(col(Port.network_id) == row.id))
    session.exec(delete(Network).where(col(Network.id) == row.id))
