"""What the store says about a user in a scope right now: the part of a token's body that can change."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlmodel import Session, col

from api.identity.payload import Scope
from infra.tables.identity import (
    ApplicationCredential,
    Assignment,
    Domain,
    ImpliedRole,
    Project,
    Role,
    ScopeEpoch,
    User,
)


@dataclass(frozen=True)
class Facts:
    """`body` is the token's `user`, scope, `roles` and `application_credential`; `stamp` the sum of all epochs."""

    body: dict[str, Any]
    stamp: int
    user_epoch: int
    credential_expires_us: int | None = None

    @property
    def project_id(self) -> str:
        return str(self.body.get("project", {}).get("id", ""))


def load(session: Session, user_id: str, scope: Scope, credential_id: str = "") -> Facts | None:
    """None when such a token cannot be: somebody or something of it is gone, disabled, or without a role."""
    row = session.execute(
        select(User, Domain).join(Domain, col(User.domain_id) == col(Domain.id)).where(col(User.id) == user_id)
    ).first()
    if row is None or not row[0].enabled or not row[1].enabled:
        return None
    user, domain = row
    body: dict[str, Any] = {
        "user": {"domain": _named(domain), "id": user.id, "name": user.name, "password_expires_at": None}
    }
    epochs = user.epoch + domain.epoch
    if scope.kind != "unscoped":
        target = _target(session, scope)
        if target is None:
            return None
        body |= target[0]
        epochs += target[1] + _scope_epoch(session, user_id, scope.id)
        roles = effective_roles(session, user_id, scope.id)
    else:
        roles = {}
    expires = None
    if credential_id:
        credential = session.get(ApplicationCredential, credential_id)
        if credential is None or credential.user_id != user_id or credential.project_id != scope.id:
            return None
        kept = with_implied(credential.role_ids, implications(session))
        roles = {role: name for role, name in roles.items() if role in kept}
        expires = credential.expires_us
        restricted = not credential.unrestricted
        body["application_credential"] = {"id": credential.id, "name": credential.name, "restricted": restricted}
    if scope.kind != "unscoped":
        if not roles:
            return None
        body["roles"] = [{"id": role, "name": name} for role, name in roles.items()]
    return Facts(body, epochs, user.epoch, expires)


def _target(session: Session, scope: Scope) -> tuple[dict[str, Any], int] | None:
    """Body part and epoch of an enabled project or domain."""
    if scope.kind == "domain":
        domain = session.get(Domain, scope.id)
        return ({"domain": _named(domain)}, domain.epoch) if domain and domain.enabled else None
    row = session.execute(
        select(Project, Domain)
        .join(Domain, col(Project.domain_id) == col(Domain.id))
        .where(col(Project.id) == scope.id)
    ).first()
    if row is None or not row[0].enabled or not row[1].enabled:
        return None
    project, domain = row
    body = {"project": {"domain": _named(domain), "id": project.id, "name": project.name}, "is_domain": False}
    return body, project.epoch + domain.epoch


def _named(thing: Domain) -> dict[str, str]:
    return {"id": thing.id, "name": thing.name}


def _scope_epoch(session: Session, user_id: str, target_id: str) -> int:
    row = session.get(ScopeEpoch, (user_id, target_id))
    return row.epoch if row else 0


def effective_roles(session: Session, user_id: str, target_id: str) -> dict[str, str]:
    """{role id: name}, those of the user on the target and what they imply, by name."""
    direct = session.scalars(
        select(col(Assignment.role_id)).where(
            col(Assignment.user_id) == user_id, col(Assignment.target_id) == target_id
        )
    ).all()
    wanted = with_implied(direct, implications(session))
    if not wanted:
        return {}
    rows = session.execute(select(col(Role.id), col(Role.name)).where(col(Role.id).in_(wanted)))
    return dict(sorted(((role, name) for role, name in rows), key=lambda row: row[1]))


def implications(session: Session) -> dict[str, list[str]]:
    """{prior role: the roles it implies directly}."""
    found: dict[str, list[str]] = {}
    for row in session.scalars(select(ImpliedRole)):
        found.setdefault(row.prior_role_id, []).append(row.implied_role_id)
    return found


def with_implied(roles: Iterable[str], implied: dict[str, list[str]]) -> set[str]:
    """`roles` and all that they imply, however far; a circle among the rules ends where it began."""
    known: set[str] = set()
    waiting = list(roles)
    while waiting:
        role = waiting.pop()
        if role not in known:
            known.add(role)
            waiting += implied.get(role, [])
    return known
