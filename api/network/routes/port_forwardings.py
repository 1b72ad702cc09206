"""Routes of the port forwardings of a floating address."""

from typing import Any

from fastapi import APIRouter

from api.network.ask import Ask, JsonBody
from api.network.model import port_forwardings
from api.network.model.floating_ips import FLOATING_IPS
from api.network.model.kinds import find, show
from api.network.model.listing import page
from api.network.model.port_forwardings import forwardings_kind
from api.network.routes.answers import json
from api.network.schemas.bodies import parse_member
from api.network.schemas.port_forwardings import PortForwardingCreate, PortForwardingUpdate

router = APIRouter(prefix="/v2.0/floatingips/{floatingip_id}/port_forwardings")
MEMBER = "port_forwarding"


@router.get("")
def list_port_forwardings(ask: Ask, floatingip_id: str) -> Any:
    """All port forwardings of a floating address."""
    with ask.store.read() as session:
        parent = find(session, ask, FLOATING_IPS, floatingip_id)
        return json(page(session, ask, forwardings_kind(parent.id)))


@router.post("", status_code=201)
def create_port_forwarding(ask: Ask, floatingip_id: str, body: JsonBody) -> Any:
    """Lead a port, or a range, of a floating address to a guest."""
    wanted = parse_member(MEMBER, PortForwardingCreate, body)
    with ask.store.write() as session:
        parent = find(session, ask, FLOATING_IPS, floatingip_id)
        row = port_forwardings.create(session, ask, parent, wanted)
        return json({MEMBER: port_forwardings.shown(row)}, 201)


@router.get("/{forwarding_id}")
def show_port_forwarding(ask: Ask, floatingip_id: str, forwarding_id: str) -> Any:
    """One port forwarding."""
    with ask.store.read() as session:
        kind = forwardings_kind(find(session, ask, FLOATING_IPS, floatingip_id).id)
        return json(show(session, ask, kind, find(session, ask, kind, forwarding_id)))


@router.put("/{forwarding_id}")
def update_port_forwarding(ask: Ask, floatingip_id: str, forwarding_id: str, body: JsonBody) -> Any:
    """Change a port forwarding."""
    wanted = parse_member(MEMBER, PortForwardingUpdate, body)
    with ask.store.write() as session:
        parent = find(session, ask, FLOATING_IPS, floatingip_id)
        row = find(session, ask, forwardings_kind(parent.id), forwarding_id)
        port_forwardings.update(session, ask, parent, row, wanted)
        session.flush()
        return json({MEMBER: port_forwardings.shown(row)})


@router.delete("/{forwarding_id}", status_code=204)
def delete_port_forwarding(ask: Ask, floatingip_id: str, forwarding_id: str) -> None:
    """Delete a port forwarding."""
    with ask.store.write() as session:
        parent = find(session, ask, FLOATING_IPS, floatingip_id)
        row = find(session, ask, forwardings_kind(parent.id), forwarding_id)
        port_forwardings.remove(session, ask, parent, row)
