"""Port forwardings: ports of a floating address that lead to ports of guests."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement
from sqlmodel import Session, col, select

from api.network.ask import Asker
from api.network.errors import bad_request, conflict
from api.network.model import association, limits, own_ports
from api.network.model.kinds import Kind, View, batches, find, number, standard_sort, text
from api.network.model.port_view import PORTS
from api.network.schemas.port_forwardings import PortForwardingCreate, PortForwardingUpdate
from infra.tables.network import FloatingIp, Port, PortAddress, PortForwarding

SIDES = ("external", "internal")


def ports_shown(row: PortForwarding) -> dict[str, Any]:
    """One port or a range for each side; the other is null."""
    shown: dict[str, Any] = {}
    for side in SIDES:
        first, last = getattr(row, f"{side}_first"), getattr(row, f"{side}_last")
        shown[f"{side}_port"] = first if first == last else None
        shown[f"{side}_port_range"] = f"{first}:{last}"
    return shown


def shown(row: PortForwarding) -> dict[str, Any]:
    names = ("id", "protocol", "internal_ip_address", "internal_port_id", "description")
    return {name: getattr(row, name) for name in names} | ports_shown(row)


def _render(_session: Session, rows: Sequence[PortForwarding], _view: View) -> list[dict[str, Any]]:
    return [shown(row) for row in rows]


def _visible(project_id: str) -> ColumnElement[bool]:
    return col(PortForwarding.project_id) == project_id


def forwardings_kind(floatingip_id: str) -> Kind[PortForwarding]:
    """Port forwardings of one floating address."""
    return Kind(
        member="port_forwarding",
        collection="port_forwardings",
        table=PortForwarding,
        missing=("PortForwardingNotFound", "Port Forwarding {} could not be found."),
        visible=_visible,
        render=_render,
        filters={
            "id": text(PortForwarding.id),
            "internal_port_id": text(PortForwarding.internal_port_id),
            "protocol": text(PortForwarding.protocol),
            "external_port": number(PortForwarding.external_first),
        },
        sortable=standard_sort(PortForwarding) | {"protocol": PortForwarding.protocol},
        within=col(PortForwarding.floatingip_id) == floatingip_id,
        taggable=False,
    )


def of_floating_ips(session: Session, ids: Sequence[str]) -> dict[str, list[PortForwarding]]:
    found: dict[str, list[PortForwarding]] = {floatingip_id: [] for floatingip_id in ids}
    for part in batches(ids):
        query = select(PortForwarding).where(col(PortForwarding.floatingip_id).in_(part))
        for row in session.exec(query.order_by(PortForwarding.id)):
            found[row.floatingip_id].append(row)
    return found


def internal_addresses(session: Session, router_id: str) -> set[str]:
    """Addresses of guests that forwardings of the router's floating addresses lead to."""
    query = select(PortForwarding.internal_ip_address)
    query = query.join(FloatingIp, col(FloatingIp.id) == col(PortForwarding.floatingip_id))
    return set(session.exec(query.where(FloatingIp.router_id == router_id)))


def create(session: Session, ask: Asker, parent: FloatingIp, body: PortForwardingCreate) -> PortForwarding:
    """400 for ports that collide or do not pair up, or a port that the address's router does not reach; 409 when the
    address, or one of the port's own, is in other use."""
    ask.enforce("create_floatingip_port_forwarding", parent.project_id)
    if parent.port_id:
        raise conflict(
            "FloatingIPPortAlreadyAssociated",
            f"Cannot associate floating IP {parent.floating_ip_address} ({parent.id}) with port "
            f"{body.internal_port_id} using fixed IP {body.internal_ip_address}, as that fixed IP already has a "
            f"floating IP on external network {parent.floating_network_id}.",
        )
    have = select(PortForwarding.id).where(PortForwarding.floatingip_id == parent.id)
    limits.check("port_forwardings", [*session.exec(have), "this one"])
    external = _span(body.external_port, body.external_port_range, "external")
    internal = _span(body.internal_port, body.internal_port_range, "internal")
    row = PortForwarding(
        project_id=parent.project_id,
        floatingip_id=parent.id,
        internal_port_id=body.internal_port_id,
        internal_ip_address="",
        protocol=body.protocol,
        description=body.description,
        external_first=external[0],
        external_last=external[1],
        internal_first=internal[0],
        internal_last=internal[1],
    )
    _lead(session, ask, parent, row, body.internal_ip_address)
    _check(session, row)
    session.add(row)
    session.flush()
    return row


def _span(one: int | None, several: str | None, side: str) -> tuple[int, int]:
    if (one is None) == (several is None):
        raise bad_request("port_forwarding", f"Either {side}_port or {side}_port_range must be specified")
    if several is not None:
        first, last = several.split(":")
        return int(first), int(last)
    return int(one or 0), int(one or 0)


def _lead(session: Session, ask: Asker, parent: FloatingIp, row: PortForwarding, wanted: str | None) -> None:
    """Sets the internal address, and the router that the floating address lies on."""
    port = find(session, ask, PORTS, row.internal_port_id)
    if session.exec(select(FloatingIp.id).where(FloatingIp.port_id == port.id)).first():
        raise conflict(
            "PortHasBindingFloatingIP",
            f"Cannot create port forwarding to floating IP {parent.floating_ip_address} ({parent.id}) with port "
            f"{port.id} using fixed IP {wanted}, as that port already has a binding floating IP.",
        )
    address = _address(session, port, wanted)
    row.internal_ip_address = address.ip_address
    router_id = association.router_between(session, parent.floating_network_id, port, address)
    others = select(PortForwarding.id).where(PortForwarding.floatingip_id == parent.id, PortForwarding.id != row.id)
    if parent.router_id not in (None, router_id) and session.exec(others).first():
        raise bad_request(
            "port_forwarding",
            f"The Floating IP {parent.id} had been set on router {parent.router_id}, the internal Neutron port "
            f"{port.id} can not reach it",
        )
    parent.router_id = router_id
    parent.touch()


def _address(session: Session, port: Port, wanted: str | None) -> PortAddress:
    have = [one for one in own_ports.addresses_of(session, port.id) if "." in one.ip_address]
    if not have:
        words = f"Requested internal port {port.id} must allocate an IPv4 address at least."
        raise bad_request("port_forwarding", words)
    found = next((one for one in have if wanted in (None, one.ip_address)), None)
    if found is None:
        raise bad_request(
            "port_forwarding",
            f"Requested internal IP address {wanted} is not suitable for internal neutron port {port.id}, as its "
            f"fixed_ips are {[one.ip_address for one in have]}",
        )
    return found


def _check(session: Session, row: PortForwarding) -> None:
    """Ranges pair up one to one, or all lead to one port; nothing collides, outside or inside."""
    outside, inside = row.external_last - row.external_first, row.internal_last - row.internal_first
    if inside > 0 and inside != outside:
        raise bad_request(
            "port_forwarding",
            "Invalid ranges of internal and/or external ports. The relation between internal and external ports must "
            "be N-N or 1-N",
        )
    same = select(PortForwarding).where(PortForwarding.protocol == row.protocol, PortForwarding.id != row.id)
    fixed = PortForwarding.internal_ip_address == row.internal_ip_address
    for side, query in (
        ("external", same.where(PortForwarding.floatingip_id == row.floatingip_id)),
        ("internal", same.where(PortForwarding.internal_port_id == row.internal_port_id, fixed)),
    ):
        first, last = getattr(row, f"{side}_first"), getattr(row, f"{side}_last")
        for other in session.exec(query):
            if getattr(other, f"{side}_first") <= last and first <= getattr(other, f"{side}_last"):
                raise bad_request(
                    "port_forwarding",
                    f"There is a port collision with the {side}_port_range. The following ranges collide: "
                    f"{ports_shown(other)[f'{side}_port_range']} and {first}:{last}",
                )


def update(session: Session, ask: Asker, parent: FloatingIp, row: PortForwarding, body: PortForwardingUpdate) -> None:
    ask.enforce("update_floatingip_port_forwarding", parent.project_id)
    given = body.model_fields_set
    for side in SIDES:
        if given & {f"{side}_port", f"{side}_port_range"}:
            span = _span(getattr(body, f"{side}_port"), getattr(body, f"{side}_port_range"), side)
            setattr(row, f"{side}_first", span[0])
            setattr(row, f"{side}_last", span[1])
    if body.protocol:
        row.protocol = body.protocol
    if "description" in given:
        row.description = body.description
    if given & {"internal_port_id", "internal_ip_address"}:
        row.internal_port_id = body.internal_port_id or row.internal_port_id
        _lead(session, ask, parent, row, body.internal_ip_address)
    _check(session, row)
    row.touch()


def remove(session: Session, ask: Asker, parent: FloatingIp, row: PortForwarding) -> None:
    """The last one that goes takes the floating address off its router."""
    ask.enforce("delete_floatingip_port_forwarding", parent.project_id)
    session.delete(row)
    session.flush()
    association.loosen(session, parent)
