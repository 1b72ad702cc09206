"""Security groups: what they look like, each project's `default`, making, changing and deleting them."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, or_
from sqlmodel import Session, col, select

from api.network.ask import Asker
from api.network.errors import NO_GROUP, conflict
from api.network.model import quotas, shares, tags
from api.network.model.kinds import (
    Kind,
    View,
    batches,
    boolean,
    standard,
    standard_filters,
    standard_sort,
    tags_of,
    text,
)
from api.network.model.rules import shown_rules
from api.network.schemas.security_groups import SecurityGroupCreate, SecurityGroupUpdate
from infra.tables.network import PortGroup, SecurityGroup, SecurityGroupRule

DEFAULT = "default"


def _visible(project_id: str) -> ColumnElement[bool]:
    usable = col(SecurityGroup.id).in_(shares.usable(project_id))
    return or_(col(SecurityGroup.project_id) == project_id, usable)


def _rules(session: Session, rows: Sequence[SecurityGroup]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {row.id: [] for row in rows}
    for ids in batches(list(found)):
        query = select(SecurityGroupRule).where(col(SecurityGroupRule.security_group_id).in_(ids))
        for rule in shown_rules(session.exec(query.order_by(col(SecurityGroupRule.id)))):
            found[rule["security_group_id"]].append(rule)
    return found


def _render(session: Session, rows: Sequence[SecurityGroup], view: View) -> list[dict[str, Any]]:
    rules = _rules(session, rows) if view.wants("security_group_rules") else {}
    words, shared = tags_of(session, rows), shares.shown(session, rows, view.project_id)
    return [
        {"id": row.id, "name": row.name, "stateful": row.stateful, "shared": row.id in shared}
        | {"security_group_rules": rules.get(row.id, [])}
        | standard(row, words[row.id])
        for row in rows
    ]


GROUPS = Kind(
    member="security_group",
    collection="security_groups",
    table=SecurityGroup,
    missing=NO_GROUP,
    visible=_visible,
    render=_render,
    filters=standard_filters(SecurityGroup)
    | {"name": text(SecurityGroup.name), "stateful": boolean(SecurityGroup.stateful)},
    sortable=standard_sort(SecurityGroup) | {"name": SecurityGroup.name},
    unfiltered=frozenset({"security_group_rules", "shared"}),
    shareable=True,
)


def default_id(session: Session, project_id: str) -> str | None:
    return session.exec(select(SecurityGroup.id).where(SecurityGroup.default_of == project_id)).first()


def ensure_default(session: Session, project_id: str) -> str:
    """Id of the project's default group, made on first sight with Neutron's rules; only in a writing transaction."""
    if known := default_id(session, project_id):
        return known
    group = SecurityGroup(
        project_id=project_id, name=DEFAULT, description="Default security group", default_of=project_id
    )
    session.add(group)
    session.flush()
    _add_rule(session, group, "ingress", group.id)
    _add_rule(session, group, "egress", None)
    return group.id


def _add_rule(session: Session, group: SecurityGroup, direction: str, remote_group_id: str | None) -> None:
    """Anything in this direction, of both IP versions; `remote_group_id` None is from or to anywhere."""
    session.add_all(
        SecurityGroupRule(
            project_id=group.project_id,
            security_group_id=group.id,
            direction=direction,
            ethertype=ethertype,
            remote_group_id=remote_group_id,
        )
        for ethertype in ("IPv4", "IPv6")
    )


def see(ask: Asker) -> None:
    """Makes sure that the caller's project has its default group before groups or rules are listed."""
    if not ask.project_id:
        return
    with ask.store.read() as session:
        if default_id(session, ask.project_id):
            return
    with ask.store.write() as session:
        ensure_default(session, ask.project_id)


def create(session: Session, ask: Asker, body: SecurityGroupCreate, _given: list[str]) -> SecurityGroup:
    project_id = ask.owner(body.project_id, body.tenant_id)
    ask.enforce("create_security_group", project_id)
    ensure_default(session, project_id)
    if body.name == DEFAULT:
        raise conflict("SecurityGroupDefaultAlreadyExists", "Default security group already exists.")
    quotas.check(session, project_id, "security_group")
    row = SecurityGroup(project_id=project_id, name=body.name, description=body.description, stateful=body.stateful)
    session.add(row)
    session.flush()
    _add_rule(session, row, "egress", None)
    tags.add(session, row, body.tags)
    return row


def update(session: Session, ask: Asker, row: SecurityGroup, body: SecurityGroupUpdate, _given: list[str]) -> None:
    ask.enforce("update_security_group", row.project_id)
    changes = body.model_dump(include=body.model_fields_set)
    if "name" in changes and changes["name"] != row.name:
        if row.default_of:
            raise conflict("SecurityGroupCannotUpdateDefault", "Updating default security group not allowed.")
        if changes["name"] == DEFAULT:
            raise conflict("SecurityGroupDefaultAlreadyExists", "Default security group already exists.")
    if changes.get("stateful", row.stateful) != row.stateful and _members(session, row):
        raise conflict("SecurityGroupInUse", f"Security Group {row.id} in use.")
    for name, value in changes.items():
        setattr(row, name, value)
    row.touch()


def _members(session: Session, row: SecurityGroup) -> bool:
    return session.exec(select(PortGroup.port_id).where(PortGroup.security_group_id == row.id)).first() is not None


def remove(session: Session, ask: Asker, row: SecurityGroup) -> None:
    """Deletes the group, its rules, and the rules of other groups that name it; 409 while a port has it."""
    ask.enforce("delete_security_group", row.project_id)
    if row.default_of and not ask.allows("delete_security_group:default", row.project_id):
        raise conflict("SecurityGroupCannotRemoveDefault", "Insufficient rights for removing default security group.")
    if _members(session, row):
        raise conflict("SecurityGroupInUse", f"Security Group {row.id} in use.")
    shares.forget(session, row.id)
    tags.forget(session, row.id)
    session.delete(row)
