"""Routes of subnets."""

from typing import Any

from fastapi import APIRouter

from api.network.ask import Ask, JsonBody
from api.network.model import subnets
from api.network.model.kinds import find, show
from api.network.model.listing import page
from api.network.model.subnets import SUBNETS
from api.network.routes.answers import check_revision, json, made
from api.network.schemas.bodies import parse_create, parse_update
from api.network.schemas.subnets import SubnetCreate, SubnetUpdate

router = APIRouter(prefix="/v2.0/subnets")


@router.get("")
def list_subnets(ask: Ask) -> Any:
    with ask.store.read() as session:
        return json(page(session, ask, SUBNETS))


@router.post("")
def create_subnet(ask: Ask, body: JsonBody) -> Any:
    wanted, many = parse_create(SUBNETS, SubnetCreate, body)
    with ask.store.write() as session:
        rows = [subnets.create(session, ask, one) for one in wanted]
        return made(session, ask, SUBNETS, rows, many)


@router.get("/{subnet_id}")
def show_subnet(ask: Ask, subnet_id: str) -> Any:
    with ask.store.read() as session:
        return json(show(session, ask, SUBNETS, find(session, ask, SUBNETS, subnet_id)))


@router.put("/{subnet_id}")
def update_subnet(ask: Ask, subnet_id: str, body: JsonBody) -> Any:
    wanted = parse_update(SUBNETS, SubnetUpdate, body)
    with ask.store.write() as session:
        row = find(session, ask, SUBNETS, subnet_id)
        check_revision(ask, row)
        subnets.update(session, ask, row, wanted)
        session.flush()
        return json(show(session, ask, SUBNETS, row))


@router.delete("/{subnet_id}", status_code=204)
def delete_subnet(ask: Ask, subnet_id: str) -> None:
    with ask.store.write() as session:
        row = find(session, ask, SUBNETS, subnet_id)
        check_revision(ask, row)
        subnets.remove(session, ask, row)
