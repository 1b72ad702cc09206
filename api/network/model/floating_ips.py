"""Floating addresses: what they look like, making, associating and deleting them."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement
from sqlmodel import Session, col, select

from api.network.ask import Asker
from api.network.errors import bad_request
from api.network.model import association, own_ports, port_forwardings, quotas, tags
from api.network.model.kinds import (
    Kind,
    View,
    batches,
    find,
    standard,
    standard_filters,
    standard_sort,
    tags_of,
    text,
)
from api.network.model.networks import NETWORKS
from api.network.schemas.floating_ips import FloatingIpCreate, FloatingIpUpdate
from api.network.schemas.ports import FixedIp
from infra.tables.network import FloatingIp, Port, Subnet

NO_NAME = {"dns_name": "", "dns_domain": ""}
"""Part of the extension dns-integration; names of floating addresses need a DNS service, and are refused."""


def _visible(project_id: str) -> ColumnElement[bool]:
    return col(FloatingIp.project_id) == project_id


def _render(session: Session, rows: Sequence[FloatingIp], _view: View) -> list[dict[str, Any]]:
    words, ports = tags_of(session, rows), _port_details(session, rows)
    forwardings = port_forwardings.of_floating_ips(session, [row.id for row in rows])
    names = ("id", "floating_network_id", "floating_ip_address", "port_id", "fixed_ip_address", "router_id", "status")
    return [
        {name: getattr(row, name) for name in names}
        | {
            "port_details": ports.get(row.port_id or ""),
            "port_forwardings": [port_forwardings.shown(one) for one in forwardings[row.id]],
        }
        | NO_NAME
        | standard(row, words[row.id])
        for row in rows
    ]


def _port_details(session: Session, rows: Sequence[FloatingIp]) -> dict[str, dict[str, Any]]:
    names = ("name", "network_id", "mac_address", "admin_state_up", "status", "device_id", "device_owner")
    return {
        port.id: {name: getattr(port, name) for name in names}
        for ids in batches([row.port_id for row in rows if row.port_id])
        for port in session.exec(select(Port).where(col(Port.id).in_(ids)))
    }


FLOATING_IPS = Kind(
    member="floatingip",
    collection="floatingips",
    table=FloatingIp,
    missing=("FloatingIPNotFound", "Floating IP {} could not be found"),
    visible=_visible,
    render=_render,
    filters=standard_filters(FloatingIp)
    | {
        "floating_network_id": text(FloatingIp.floating_network_id),
        "floating_ip_address": text(FloatingIp.floating_ip_address),
        "port_id": text(FloatingIp.port_id),
        "fixed_ip_address": text(FloatingIp.fixed_ip_address),
        "router_id": text(FloatingIp.router_id),
        "status": text(FloatingIp.status),
    },
    sortable=standard_sort(FloatingIp)
    | {
        "floating_ip_address": FloatingIp.floating_ip_address,
        "floating_network_id": FloatingIp.floating_network_id,
        "status": FloatingIp.status,
    },
    unfiltered=frozenset({"port_details", "port_forwardings"}),
)


def create(session: Session, ask: Asker, body: FloatingIpCreate, given: list[str]) -> FloatingIp:
    """An address of the external network, associated when a port is named.

    Raises 400 for a network that is not external, 404 when no router leads from it to the port, and what
    addresses.assign raises."""
    project_id = ask.owner(body.project_id, body.tenant_id)
    ask.enforce("create_floatingip", project_id)
    ask.enforce_attributes("create_floatingip", given, project_id)
    network = find(session, ask, NETWORKS, body.floating_network_id)
    if not network.external:
        raise bad_request("floatingip", f"Network {network.id} is not a valid external network")
    inside = select(Subnet).where(Subnet.network_id == network.id, Subnet.ip_version == 4).order_by(Subnet.id)
    subnets = list(session.exec(inside))
    if not subnets:
        raise bad_request("floatingip", f"Network {network.id} does not contain any IPv4 subnet")
    quotas.check(session, project_id, "floatingip")
    row = FloatingIp(
        project_id=project_id,
        description=body.description,
        floating_network_id=network.id,
        floating_ip_address="",
        floating_port_id="",
    )
    named = body.subnet_id or body.floating_ip_address
    asked = [FixedIp(subnet_id=body.subnet_id, ip_address=body.floating_ip_address)] if named else None
    port = own_ports.make(
        session,
        network.id,
        (own_ports.FLOATING, row.id),
        "",
        asked,
    )
    row.floating_port_id = port.id
    row.floating_ip_address = own_ports.addresses_of(session, port.id)[0].ip_address
    association.change(session, ask, row, body.port_id, body.fixed_ip_address)
    session.add(row)
    session.flush()
    tags.add(session, row, body.tags)
    return row


def update(session: Session, ask: Asker, row: FloatingIp, body: FloatingIpUpdate, given: list[str]) -> None:
    """A `port_id` moves the address, null takes it off; `fixed_ip_address` chooses one of the port's."""
    ask.enforce("update_floatingip", row.project_id)
    if "description" in given:
        row.description = body.description
    if "port_id" in given:
        association.change(session, ask, row, body.port_id, body.fixed_ip_address)
    elif "fixed_ip_address" in given:
        raise bad_request("floatingip", "fixed_ip_address cannot be specified without a port_id")
    row.touch()


def remove(session: Session, ask: Asker, row: FloatingIp) -> None:
    ask.enforce("delete_floatingip", row.project_id)
    own_ports.drop_floating(session, row)
