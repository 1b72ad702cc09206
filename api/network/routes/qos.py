"""Routes of the bandwidth limits of a QoS policy, and of the kinds of rules that are enforced."""

from typing import Any

from fastapi import APIRouter
from sqlmodel import Session, select

from api.network.ask import Ask, Asker, JsonBody
from api.network.errors import conflict, typed
from api.network.model.kinds import find
from api.network.model.qos import QOS_POLICIES, shown_rule
from api.network.model.small_lists import chosen, named
from api.network.routes.answers import json
from api.network.schemas.bodies import parse_member
from api.network.schemas.qos import MOST_KBPS, BandwidthLimitCreate, BandwidthLimitUpdate
from infra.tables.network import BandwidthLimit, QosPolicy

router = APIRouter(prefix="/v2.0/qos")
MEMBER = "bandwidth_limit_rule"
RULES = "/policies/{policy_id}/bandwidth_limit_rules"
PARAMETERS = [
    {"parameter_name": name, "parameter_type": "range", "parameter_values": {"start": 0, "end": MOST_KBPS}}
    for name in ("max_kbps", "max_burst_kbps")
] + [{"parameter_name": "direction", "parameter_type": "choices", "parameter_values": ["ingress", "egress"]}]


@router.get("/rule-types")
def list_rule_types(ask: Ask) -> Any:
    """Kinds of rules that hosts enforce."""
    return json({"rule_types": chosen(ask, [{"type": "bandwidth_limit"}], "type")})


@router.get("/rule-types/{name}")
def show_rule_type(ask: Ask, name: str) -> Any:
    """One kind of rule with the values that hosts enforce; operators only, as in Neutron."""
    if not ask.allows("get_rule_type", ask.project_id):
        raise typed(403, "NotAuthorized", "Not authorized.")
    if name != "bandwidth_limit":
        raise typed(404, "HTTPNotFound", f"Rule type {name} could not be found.")
    shown = {"type": name, "drivers": [{"name": "kilonova", "supported_parameters": PARAMETERS}]}
    return json({"rule_type": named(ask, shown)})


@router.get(RULES)
def list_bandwidth_limits(ask: Ask, policy_id: str) -> Any:
    """All bandwidth limits of a policy."""
    with ask.store.read() as session:
        row = find(session, ask, QOS_POLICIES, policy_id)
        rules = session.exec(select(BandwidthLimit).where(BandwidthLimit.policy_id == row.id))
        return json(
            {f"{MEMBER}s": chosen(ask, map(shown_rule, rules), "id", "max_kbps", "max_burst_kbps", "direction")}
        )


@router.post(RULES, status_code=201)
def create_bandwidth_limit(ask: Ask, policy_id: str, body: JsonBody) -> Any:
    """Limit one direction of a policy's ports; 409 for a direction that has a limit."""
    wanted = parse_member(MEMBER, BandwidthLimitCreate, body)
    with ask.store.write() as session:
        row = _changed(session, ask, policy_id)
        _check_direction(session, row, wanted.direction, wanted.max_kbps)
        rule = BandwidthLimit(policy_id=row.id, **wanted.model_dump())
        session.add(rule)
        return json({MEMBER: shown_rule(rule)}, 201)


def _changed(session: Session, ask: Asker, policy_id: str) -> QosPolicy:
    row = find(session, ask, QOS_POLICIES, policy_id)
    ask.enforce("update_policy", row.project_id)
    row.touch()
    return row


def _check_direction(session: Session, row: QosPolicy, direction: str, value: int) -> None:
    query = select(BandwidthLimit).where(BandwidthLimit.policy_id == row.id, BandwidthLimit.direction == direction)
    other = session.exec(query).first()
    if other:
        raise conflict(
            "QoSRuleParameterConflict",
            f"Unable to add the rule with value {value} to the policy {row.id} as the existing rule of type "
            f"bandwidth_limit has value {other.max_kbps}.",
        )


def _rule(session: Session, policy_id: str, rule_id: str) -> BandwidthLimit:
    query = select(BandwidthLimit).where(BandwidthLimit.id == rule_id, BandwidthLimit.policy_id == policy_id)
    rule = session.exec(query).first()
    if rule is None:
        words = f"QoS rule {rule_id} for policy {policy_id} could not be found."
        raise typed(404, "QosRuleNotFound", words)
    return rule


@router.get(RULES + "/{rule_id}")
def show_bandwidth_limit(ask: Ask, policy_id: str, rule_id: str) -> Any:
    """One bandwidth limit."""
    with ask.store.read() as session:
        rule = _rule(session, find(session, ask, QOS_POLICIES, policy_id).id, rule_id)
        return json({MEMBER: named(ask, shown_rule(rule))})


@router.put(RULES + "/{rule_id}")
def update_bandwidth_limit(ask: Ask, policy_id: str, rule_id: str, body: JsonBody) -> Any:
    """Change a bandwidth limit; hosts follow within seconds."""
    wanted = parse_member(MEMBER, BandwidthLimitUpdate, body)
    with ask.store.write() as session:
        row = _changed(session, ask, policy_id)
        rule = _rule(session, row.id, rule_id)
        if "direction" in wanted.model_fields_set and wanted.direction != rule.direction:
            _check_direction(session, row, wanted.direction, wanted.max_kbps)
        for name in wanted.model_fields_set:
            setattr(rule, name, getattr(wanted, name))
        session.flush()
        return json({MEMBER: shown_rule(rule)})


@router.delete(RULES + "/{rule_id}", status_code=204)
def delete_bandwidth_limit(ask: Ask, policy_id: str, rule_id: str) -> None:
    """Lift a bandwidth limit."""
    with ask.store.write() as session:
        row = _changed(session, ask, policy_id)
        session.delete(_rule(session, row.id, rule_id))
