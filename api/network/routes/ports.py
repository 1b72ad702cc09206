"""Routes of ports."""

from typing import Any

from fastapi import APIRouter

from api.network.ask import Ask, JsonBody
from api.network.model import ports
from api.network.model.kinds import find, show
from api.network.model.listing import page
from api.network.model.port_view import PORTS
from api.network.routes.answers import check_revision, json, made
from api.network.schemas.bodies import given, parse_create, parse_update
from api.network.schemas.ports import PortCreate, PortUpdate

router = APIRouter(prefix="/v2.0/ports")


@router.get("")
def list_ports(ask: Ask) -> Any:
    with ask.store.read() as session:
        return json(page(session, ask, PORTS))


@router.post("")
def create_port(ask: Ask, body: JsonBody) -> Any:
    wanted, many = parse_create(PORTS, PortCreate, body)
    with ask.store.write() as session:
        rows = [ports.create(session, ask, one, given(one, only_changes=True)) for one in wanted]
        return made(session, ask, PORTS, rows, many)


@router.get("/{port_id}")
def show_port(ask: Ask, port_id: str) -> Any:
    with ask.store.read() as session:
        return json(show(session, ask, PORTS, find(session, ask, PORTS, port_id)))


@router.put("/{port_id}")
def update_port(ask: Ask, port_id: str, body: JsonBody) -> Any:
    wanted = parse_update(PORTS, PortUpdate, body)
    with ask.store.write() as session:
        row = find(session, ask, PORTS, port_id)
        check_revision(ask, row)
        ports.update(session, ask, row, wanted, given(wanted))
        session.flush()
        return json(show(session, ask, PORTS, row))


@router.delete("/{port_id}", status_code=204)
def delete_port(ask: Ask, port_id: str) -> None:
    with ask.store.write() as session:
        row = find(session, ask, PORTS, port_id)
        check_revision(ask, row)
        ports.remove(session, ask, row)
