"""Routes of security groups."""

from typing import Any

from fastapi import APIRouter

from api.network.ask import Ask, JsonBody
from api.network.model import groups
from api.network.model.groups import GROUPS
from api.network.model.kinds import find, show
from api.network.model.listing import page
from api.network.routes.answers import check_revision, json, made
from api.network.schemas.bodies import parse_create, parse_update
from api.network.schemas.security_groups import SecurityGroupCreate, SecurityGroupUpdate

router = APIRouter(prefix="/v2.0/security-groups")


@router.get("")
def list_security_groups(ask: Ask) -> Any:
    groups.see(ask)
    with ask.store.read() as session:
        return json(page(session, ask, GROUPS))


@router.post("")
def create_security_group(ask: Ask, body: JsonBody) -> Any:
    wanted, many = parse_create(GROUPS, SecurityGroupCreate, body)
    with ask.store.write() as session:
        rows = [groups.create(session, ask, one) for one in wanted]
        return made(session, ask, GROUPS, rows, many)


@router.get("/{group_id}")
def show_security_group(ask: Ask, group_id: str) -> Any:
    with ask.store.read() as session:
        return json(show(session, ask, GROUPS, find(session, ask, GROUPS, group_id)))


@router.put("/{group_id}")
def update_security_group(ask: Ask, group_id: str, body: JsonBody) -> Any:
    wanted = parse_update(GROUPS, SecurityGroupUpdate, body)
    with ask.store.write() as session:
        row = find(session, ask, GROUPS, group_id)
        check_revision(ask, row)
        groups.update(ask, row, wanted)
        session.flush()
        return json(show(session, ask, GROUPS, row))


@router.delete("/{group_id}", status_code=204)
def delete_security_group(ask: Ask, group_id: str) -> None:
    with ask.store.write() as session:
        row = find(session, ask, GROUPS, group_id)
        check_revision(ask, row)
        groups.remove(session, ask, row)
