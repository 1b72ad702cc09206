"""QoS policies: what they look like, who may use them, making, changing and deleting them."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, not_, or_
from sqlmodel import Session, col, select

from api.network.ask import Asker
from api.network.errors import conflict
from api.network.model import shares, tags
from api.network.model.kinds import (
    Kind,
    View,
    batches,
    find,
    standard,
    standard_filters,
    standard_sort,
    tags_of,
    text,
    truth,
)
from api.network.schemas.qos import QosPolicyCreate, QosPolicyUpdate
from infra.tables.network import BandwidthLimit, Network, Port, QosPolicy


def _visible(project_id: str) -> ColumnElement[bool]:
    return or_(col(QosPolicy.project_id) == project_id, col(QosPolicy.id).in_(shares.usable(project_id)))


def shown_rule(rule: BandwidthLimit) -> dict[str, Any]:
    names = ("id", "max_kbps", "max_burst_kbps", "direction")
    return {name: getattr(rule, name) for name in names}


def limits(session: Session, ids: Sequence[str]) -> dict[str, list[BandwidthLimit]]:
    """Bandwidth limits of the policies `ids`."""
    found: dict[str, list[BandwidthLimit]] = {policy_id: [] for policy_id in ids}
    for part in batches(ids):
        query = select(BandwidthLimit).where(col(BandwidthLimit.policy_id).in_(part))
        for rule in session.exec(query.order_by(BandwidthLimit.direction)):
            found[rule.policy_id].append(rule)
    return found


def _render(session: Session, rows: Sequence[QosPolicy], view: View) -> list[dict[str, Any]]:
    words, shared = tags_of(session, rows), shares.shown(session, rows, view.project_id)
    rules = limits(session, [row.id for row in rows])
    return [
        {
            "id": row.id,
            "name": row.name,
            "shared": row.id in shared,
            "is_default": row.default_of is not None,
            "rules": [
                shown_rule(rule) | {"qos_policy_id": row.id, "type": "bandwidth_limit"} for rule in rules[row.id]
            ],
        }
        | standard(row, words[row.id])
        for row in rows
    ]


def _default(values: list[str]) -> ColumnElement[bool]:
    none = col(QosPolicy.default_of).is_(None)
    return or_(*(not_(none) if truth(value) else none for value in values))


QOS_POLICIES = Kind(
    member="policy",
    collection="policies",
    table=QosPolicy,
    missing=("QosPolicyNotFound", "QoS policy {} could not be found."),
    visible=_visible,
    render=_render,
    filters=standard_filters(QosPolicy) | {"name": text(QosPolicy.name), "is_default": _default},
    sortable=standard_sort(QosPolicy) | {"name": QosPolicy.name},
    unfiltered=frozenset({"shared", "rules"}),
    shareable=True,
)


def usable_id(session: Session, ask: Asker, policy_id: str | None) -> str | None:
    """The id of a policy that the caller sees; 404 for another one."""
    return find(session, ask, QOS_POLICIES, policy_id).id if policy_id else None


def create(session: Session, ask: Asker, body: QosPolicyCreate, given: list[str]) -> QosPolicy:
    project_id = ask.owner(body.project_id, body.tenant_id)
    ask.enforce("create_policy", project_id)
    ask.enforce_attributes("create_policy", given, project_id)
    row = QosPolicy(project_id=project_id, name=body.name, description=body.description)
    session.add(row)
    _set_default(session, row, body.is_default)
    session.flush()
    if body.shared:
        shares.share(session, row, "qos_policy", on=True)
    tags.add(session, row, body.tags)
    return row


def _set_default(session: Session, row: QosPolicy, wanted: bool) -> None:
    """The policy of the project's new networks that name none; 409 for a second one."""
    if wanted:
        other = session.exec(select(QosPolicy.id).where(QosPolicy.default_of == row.project_id)).first()
        if other not in (None, row.id):
            words = f"A default QoS policy exists for project {row.project_id}."
            raise conflict("QoSPolicyDefaultAlreadyExists", words)
    row.default_of = row.project_id if wanted else None


def default_id(session: Session, project_id: str) -> str | None:
    return session.exec(select(QosPolicy.id).where(QosPolicy.default_of == project_id)).first()


def update(session: Session, ask: Asker, row: QosPolicy, body: QosPolicyUpdate, given: list[str]) -> None:
    ask.enforce("update_policy", row.project_id)
    ask.enforce_attributes("update_policy", given, row.project_id)
    for name in ("name", "description"):
        if name in given:
            setattr(row, name, getattr(body, name))
    if "is_default" in given:
        _set_default(session, row, body.is_default)
    if "shared" in given:
        if not body.shared and (using := shares.dependants(session, "qos_policy", row.id, shares.SHARED, shares.ALL)):
            raise conflict(
                "RbacPolicyInUse",
                f"RBAC policy on object {row.id} cannot be removed because other objects depend on it.\n"
                f"Details: project_id={using[0]}",
            )
        shares.share(session, row, "qos_policy", body.shared)
    row.touch()


def remove(session: Session, ask: Asker, row: QosPolicy) -> None:
    """409 QosPolicyInUse while a port or network has it."""
    ask.enforce("delete_policy", row.project_id)
    for what, column, holder in (("port", Port.qos_policy_id, Port.id), ("network", Network.qos_policy_id, Network.id)):
        used = session.exec(select(holder).where(col(column) == row.id)).first()
        if used:
            raise conflict("QosPolicyInUse", f"QoS Policy {row.id} is used by {what} {used}.")
    shares.forget(session, row.id)
    tags.forget(session, row.id)
    session.delete(row)


def of_ports(session: Session, rows: Sequence[Port]) -> dict[str, dict[str, int | None]]:
    """Limits in force, by port: those of its own policy, else of its network's. Ports of the network itself have
    none but their own. Units: kbit/s and kbit."""
    networks = dict(
        pair
        for part in batches(sorted({row.network_id for row in rows}))
        for pair in session.exec(select(Network.id, Network.qos_policy_id).where(col(Network.id).in_(part))).all()
    )
    policies = {
        row.id: row.qos_policy_id or (None if row.device_owner.startswith("network:") else networks[row.network_id])
        for row in rows
    }
    rules = limits(session, sorted({policy for policy in policies.values() if policy}))
    return {port_id: _in_force(rules[policy]) for port_id, policy in policies.items() if policy and rules[policy]}


def _in_force(rules: list[BandwidthLimit]) -> dict[str, int | None]:
    by_direction = {rule.direction: rule for rule in rules}
    found: dict[str, int | None] = {}
    for direction in ("egress", "ingress"):
        rule = by_direction.get(direction)
        found[f"{direction}_kbps"] = rule.max_kbps if rule else None
        found[f"{direction}_burst_kbits"] = rule.max_burst_kbps if rule else None
    return found
