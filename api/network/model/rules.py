"""Security group rules: what they look like, making and deleting them."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, or_
from sqlmodel import Session, col, select

from api.network.ask import Asker
from api.network.errors import conflict, no_group
from api.network.model import quotas, shares
from api.network.model.address_groups import ADDRESS_GROUPS
from api.network.model.kinds import Clause, Kind, View, find, standard, standard_filters, standard_sort, text
from api.network.model.traffic import Traffic, checked, ethertype_of, normalized_cidr, port_of, protocol_of
from api.network.schemas.security_groups import RuleCreate
from infra.tables.network import SecurityGroup, SecurityGroupRule


def _visible(project_id: str) -> ColumnElement[bool]:
    usable = col(SecurityGroup.id).in_(shares.usable(project_id))
    mine = select(SecurityGroup.id).where(or_(col(SecurityGroup.project_id) == project_id, usable))
    return or_(col(SecurityGroupRule.project_id) == project_id, col(SecurityGroupRule.security_group_id).in_(mine))


def shown_rules(rows: Iterable[SecurityGroupRule]) -> list[dict[str, Any]]:
    return [
        {
            "id": row.id,
            "security_group_id": row.security_group_id,
            "direction": row.direction,
            "ethertype": row.ethertype,
            "protocol": row.protocol,
            "port_range_min": row.port_range_min,
            "port_range_max": row.port_range_max,
            "remote_ip_prefix": row.remote_ip_prefix,
            "normalized_cidr": normalized_cidr(row.remote_ip_prefix),
            "remote_group_id": row.remote_group_id,
            "remote_address_group_id": row.remote_address_group_id,
        }
        | standard(row, None)
        for row in rows
    ]


def _render(_session: Session, rows: Sequence[SecurityGroupRule], _view: View) -> list[dict[str, Any]]:
    return shown_rules(rows)


def _read(column: Any, reader: Callable[[str], Any]) -> Clause:
    """A filter whose values are read, and refused, as those of a new rule; what reads as None is no value at all."""
    return lambda values: or_(*(column == reader(value) for value in values))


RULES = Kind(
    member="security_group_rule",
    collection="security_group_rules",
    table=SecurityGroupRule,
    missing=("SecurityGroupRuleNotFound", "Security group rule {} does not exist"),
    visible=_visible,
    render=_render,
    filters=standard_filters(SecurityGroupRule)
    | {
        "security_group_id": text(SecurityGroupRule.security_group_id),
        "direction": text(SecurityGroupRule.direction),
        "ethertype": _read(SecurityGroupRule.ethertype, ethertype_of),
        "protocol": _read(SecurityGroupRule.protocol, lambda value: protocol_of(value, "")),
        "port_range_min": _read(SecurityGroupRule.port_range_min, port_of),
        "port_range_max": _read(SecurityGroupRule.port_range_max, port_of),
        "remote_ip_prefix": text(SecurityGroupRule.remote_ip_prefix),
        "remote_group_id": text(SecurityGroupRule.remote_group_id),
        "remote_address_group_id": text(SecurityGroupRule.remote_address_group_id),
    },
    sortable=standard_sort(SecurityGroupRule)
    | {"direction": SecurityGroupRule.direction, "ethertype": SecurityGroupRule.ethertype},
    unfiltered=frozenset({"normalized_cidr"}),
    taggable=False,
)


def _group(session: Session, ask: Asker, group_id: str) -> SecurityGroup:
    """A group that the caller sees; 404 for another one."""
    query = select(SecurityGroup).where(SecurityGroup.id == group_id)
    if not ask.sees_all:
        usable = col(SecurityGroup.id).in_(shares.usable(ask.project_id))
        query = query.where(or_(col(SecurityGroup.project_id) == ask.project_id, usable))
    group = session.exec(query).first()
    if group is None:
        raise no_group(group_id)
    return group


def create(session: Session, ask: Asker, body: RuleCreate, _given: list[str]) -> SecurityGroupRule:
    """The rule belongs to its group's project. 409 SecurityGroupRuleExists for one that matches the same traffic."""
    group = _group(session, ask, body.security_group_id)
    ask.owner(body.project_id, body.tenant_id)
    ask.enforce("create_security_group_rule", group.project_id)
    traffic = checked(body)
    if body.remote_group_id:
        _group(session, ask, body.remote_group_id)
    if body.remote_address_group_id:
        find(session, ask, ADDRESS_GROUPS, body.remote_address_group_id)
    for other in session.exec(select(SecurityGroupRule).where(SecurityGroupRule.security_group_id == group.id)):
        if Traffic.of(other).key() == traffic.key():
            raise conflict("SecurityGroupRuleExists", f"Security group rule already exists. Rule id is {other.id}.")
    quotas.check(session, group.project_id, "security_group_rule")
    row = SecurityGroupRule(
        project_id=group.project_id,
        security_group_id=group.id,
        description=body.description,
        **vars(traffic),
    )
    session.add(row)
    group.touch()
    return row


def remove(session: Session, ask: Asker, row: SecurityGroupRule) -> None:
    ask.enforce("delete_security_group_rule", row.project_id)
    session.get_one(SecurityGroup, row.security_group_id).touch()
    session.delete(row)
