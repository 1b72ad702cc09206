"""How much a project may have of each resource."""

from typing import Any

from sqlalchemy import delete, func
from sqlmodel import Session, col, select

from api.network.errors import bad, conflict
from infra.tables.network import (
    FloatingIp,
    Network,
    Port,
    Quota,
    RbacPolicy,
    Router,
    SecurityGroup,
    SecurityGroupRule,
    Standard,
    Subnet,
    SubnetPool,
    Trunk,
)

DEFAULTS = {
    "network": 100,
    "subnet": 100,
    "subnetpool": -1,
    "port": 500,
    "router": 10,
    "floatingip": 50,
    "rbac_policy": 10,
    "security_group": 10,
    "security_group_rule": 100,
    "trunk": -1,
}
TABLES: dict[str, type[Standard]] = {
    "network": Network,
    "subnet": Subnet,
    "subnetpool": SubnetPool,
    "rbac_policy": RbacPolicy,
    "port": Port,
    "router": Router,
    "floatingip": FloatingIp,
    "security_group": SecurityGroup,
    "security_group_rule": SecurityGroupRule,
    "trunk": Trunk,
}


def limits(session: Session, project_id: str) -> dict[str, int]:
    """Every resource's limit; -1 is none."""
    own = session.exec(select(Quota).where(Quota.project_id == project_id))
    return DEFAULTS | {quota.resource: quota.limit for quota in own}


def projects(session: Session) -> list[str]:
    """Projects that have a limit of their own."""
    return sorted(set(session.exec(select(Quota.project_id))))


def used(session: Session, project_id: str, resource: str) -> int:
    table = TABLES[resource]
    return session.exec(select(func.count()).select_from(table).where(col(table.project_id) == project_id)).one()


def details(session: Session, project_id: str) -> dict[str, Any]:
    return {
        resource: {"limit": limit, "used": used(session, project_id, resource), "reserved": 0}
        for resource, limit in limits(session, project_id).items()
    }


def check(session: Session, project_id: str, resource: str, adding: int = 1) -> None:
    """409 OverQuota unless `adding` more fit. Only in the transaction that adds them."""
    own = session.get(Quota, (project_id, resource))
    limit = own.limit if own else DEFAULTS[resource]
    if limit >= 0 and used(session, project_id, resource) + adding > limit:
        raise conflict("OverQuota", f"Quota exceeded for resources: ['{resource}'].")


def change(session: Session, project_id: str, wanted: dict[str, int], *, force: bool) -> None:
    """400 for a limit below what is in use, unless forced."""
    for resource, limit in wanted.items():
        in_use = used(session, project_id, resource)
        if not force and 0 <= limit < in_use:
            raise bad(f"Quota limit {limit} for {resource} must be greater than or equal to already used {in_use}")
    for resource, limit in wanted.items():
        session.merge(Quota(project_id=project_id, resource=resource, limit=limit))


def reset(session: Session, project_id: str) -> bool:
    """Back to the defaults; False when the project had no limits of its own."""
    found = session.exec(delete(Quota).where(col(Quota.project_id) == project_id))
    return bool(found.rowcount)
