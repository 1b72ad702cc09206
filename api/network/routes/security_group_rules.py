"""Routes of security group rules."""

from typing import Any

from fastapi import APIRouter

from api.network.ask import Ask, JsonBody
from api.network.model import groups, rules
from api.network.model.kinds import find, show
from api.network.model.listing import page
from api.network.model.rules import RULES
from api.network.routes.answers import json, made
from api.network.schemas.bodies import parse_create
from api.network.schemas.security_groups import RuleCreate

router = APIRouter(prefix="/v2.0/security-group-rules")


@router.get("")
def list_security_group_rules(ask: Ask) -> Any:
    groups.see(ask)
    with ask.store.read() as session:
        return json(page(session, ask, RULES))


@router.post("")
def create_security_group_rule(ask: Ask, body: JsonBody) -> Any:
    wanted, many = parse_create(RULES, RuleCreate, body)
    with ask.store.write() as session:
        rows = [rules.create(session, ask, one) for one in wanted]
        return made(session, ask, RULES, rows, many)


@router.get("/{rule_id}")
def show_security_group_rule(ask: Ask, rule_id: str) -> Any:
    with ask.store.read() as session:
        return json(show(session, ask, RULES, find(session, ask, RULES, rule_id)))


@router.delete("/{rule_id}", status_code=204)
def delete_security_group_rule(ask: Ask, rule_id: str) -> None:
    with ask.store.write() as session:
        rules.remove(session, ask, find(session, ask, RULES, rule_id))
