"""Routes of networks."""

from typing import Any

from fastapi import APIRouter

from api.network.ask import Ask, JsonBody
from api.network.model import networks
from api.network.model.kinds import find, show
from api.network.model.listing import page
from api.network.model.networks import NETWORKS
from api.network.routes.answers import check_revision, json, made
from api.network.schemas.bodies import given, parse_create, parse_update
from api.network.schemas.networks import NetworkCreate, NetworkUpdate

router = APIRouter(prefix="/v2.0/networks")


@router.get("")
def list_networks(ask: Ask) -> Any:
    with ask.store.read() as session:
        return json(page(session, ask, NETWORKS))


@router.post("")
def create_network(ask: Ask, body: JsonBody) -> Any:
    wanted, many = parse_create(NETWORKS, NetworkCreate, body)
    with ask.store.write() as session:
        rows = [networks.create(session, ask, one, given(one, only_changes=True)) for one in wanted]
        return made(session, ask, NETWORKS, rows, many)


@router.get("/{network_id}")
def show_network(ask: Ask, network_id: str) -> Any:
    with ask.store.read() as session:
        return json(show(session, ask, NETWORKS, find(session, ask, NETWORKS, network_id)))


@router.put("/{network_id}")
def update_network(ask: Ask, network_id: str, body: JsonBody) -> Any:
    wanted = parse_update(NETWORKS, NetworkUpdate, body)
    with ask.store.write() as session:
        row = find(session, ask, NETWORKS, network_id)
        check_revision(ask, row)
        networks.update(session, ask, row, wanted, given(wanted))
        session.flush()
        return json(show(session, ask, NETWORKS, row))


@router.delete("/{network_id}", status_code=204)
def delete_network(ask: Ask, network_id: str) -> None:
    with ask.store.write() as session:
        row = find(session, ask, NETWORKS, network_id)
        check_revision(ask, row)
        networks.remove(session, ask, row)
