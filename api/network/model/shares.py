"""What a project may use of others' resources, by RBAC policies: asked, set, and checked before it is taken away."""

from collections.abc import Callable, Sequence

from sqlalchemy import delete
from sqlmodel import Session, col, select
from sqlmodel.sql.expression import SelectOfScalar

from infra.tables.network import (
    AddressGroup,
    AddressScope,
    FloatingIp,
    Network,
    Port,
    PortGroup,
    QosPolicy,
    RbacPolicy,
    Router,
    SecurityGroup,
    SecurityGroupRule,
    Standard,
    Subnet,
    SubnetPool,
)

SHARED, EXTERNAL = "access_as_shared", "access_as_external"
ALL = "*"
Users = Callable[[str], list[SelectOfScalar[str]]]


def usable(project_id: str, *actions: str) -> SelectOfScalar[str]:
    """Ids of what the project may use of others'; `actions` are SHARED unless given."""
    query = select(RbacPolicy.object_id).where(col(RbacPolicy.action).in_(actions or (SHARED,)))
    return query.where(col(RbacPolicy.target_project).in_((ALL, project_id)))


def shown(session: Session, rows: Sequence[Standard], project_id: str) -> set[str]:
    """Ids of the `rows` that are shown as shared to the project."""
    found: set[str] = set()
    for start in range(0, len(rows), 500):
        ids = [row.id for row in rows[start : start + 500]]
        found |= set(session.exec(usable(project_id).where(col(RbacPolicy.object_id).in_(ids))))
    return found


def share(session: Session, row: Standard, object_type: str, on: bool, action: str = SHARED) -> None:
    """Shares the object with every project, or no longer with every one."""
    query = select(RbacPolicy).where(RbacPolicy.object_id == row.id, RbacPolicy.action == action)
    policy = session.exec(query.where(RbacPolicy.target_project == ALL)).first()
    if on and policy is None:
        session.add(
            RbacPolicy(
                project_id=row.project_id,
                object_type=object_type,
                object_id=row.id,
                action=action,
                target_project=ALL,
            )
        )
    elif policy is not None and not on:
        session.delete(policy)
    session.flush()


def forget(session: Session, object_id: str) -> None:
    """Deletes the policies of an object that is to go."""
    session.exec(delete(RbacPolicy).where(col(RbacPolicy.object_id) == object_id))


def dependants(session: Session, object_type: str, object_id: str, action: str, target: str) -> list[str]:
    """Projects that use the object by nothing but the policy for `target`."""
    owner = session.get_one(TYPES[object_type], object_id).project_id
    others = select(RbacPolicy.target_project).where(RbacPolicy.object_id == object_id, RbacPolicy.action == action)
    kept = set(session.exec(others.where(RbacPolicy.target_project != target)))
    if ALL in kept:
        return []
    users = (USERS_OF_EXTERNAL if action == EXTERNAL else USERS[object_type])(object_id)
    using = {project for query in users for project in session.exec(query) if project}
    return sorted(using - kept - {owner} if target == ALL else using & {target} - {owner})


TYPES: dict[str, type[Standard]] = {
    "network": Network,
    "security_group": SecurityGroup,
    "address_group": AddressGroup,
    "subnetpool": SubnetPool,
    "address_scope": AddressScope,
    "qos_policy": QosPolicy,
}
"""Object types of RBAC policies."""


def _network(network_id: str) -> list[SelectOfScalar[str]]:
    ports = select(Port.project_id).where(Port.network_id == network_id)
    return [ports.where(col(Port.device_owner).not_in(("network:dhcp", "network:distributed")))]


def _external(network_id: str) -> list[SelectOfScalar[str]]:
    gateways = select(Router.project_id).join(Port, col(Port.device_id) == col(Router.id))
    return [
        gateways.where(Port.network_id == network_id, Port.device_owner == "network:router_gateway"),
        select(FloatingIp.project_id).where(FloatingIp.floating_network_id == network_id),
    ]


def _security_group(group_id: str) -> list[SelectOfScalar[str]]:
    ports = select(Port.project_id).join(PortGroup, col(PortGroup.port_id) == col(Port.id))
    return [ports.where(PortGroup.security_group_id == group_id)]


USERS_OF_EXTERNAL: Users = _external
USERS: dict[str, Users] = {
    "network": _network,
    "security_group": _security_group,
    "address_group": lambda id_: [
        select(SecurityGroupRule.project_id).where(SecurityGroupRule.remote_address_group_id == id_)
    ],
    "subnetpool": lambda id_: [select(Subnet.project_id).where(Subnet.subnetpool_id == id_)],
    "address_scope": lambda id_: [select(SubnetPool.project_id).where(SubnetPool.address_scope_id == id_)],
    "qos_policy": lambda id_: [
        select(Port.project_id).where(Port.qos_policy_id == id_),
        select(Network.project_id).where(Network.qos_policy_id == id_),
    ],
}
