"""Looks up who wants to sign in, and keeps count of wrong passwords."""

import time
from dataclasses import dataclass

from sqlalchemy import select
from sqlmodel import Session, col

from api.identity.payload import Payload
from api.identity.schemas.auth import CredentialMethod, DomainRef, InDomain
from api.identity.settings import IdentitySettings
from infra.identity_store import IdentityStore
from infra.tables.identity import ApplicationCredential, Domain, Project, User


@dataclass(frozen=True)
class Claim:
    """Somebody who says to be `user_id`; `stored` is the hash that must match, None when nothing can.

    `epoch` is the user's when the hash was read: a password that is changed meanwhile must not let the old one in."""

    user_id: str = ""
    epoch: int = -1
    stored: str | None = None
    credential: ApplicationCredential | None = None


@dataclass(frozen=True)
class Proof:
    """A user who has shown to be one."""

    user_id: str
    epoch: int
    methods: tuple[str, ...]
    parent: Payload | None = None
    credential: ApplicationCredential | None = None


def find_domain(session: Session, wanted: DomainRef) -> str | None:
    if wanted.id is not None:
        return wanted.id
    return session.scalars(select(col(Domain.id)).where(col(Domain.name) == wanted.name)).first()


def find_user(session: Session, wanted: InDomain) -> User | None:
    if wanted.id is not None:
        return session.get(User, wanted.id)
    domain = find_domain(session, wanted.domain) if wanted.domain else None
    return session.scalars(select(User).where(col(User.name) == wanted.name, col(User.domain_id) == domain)).first()


def find_project(session: Session, wanted: InDomain) -> str | None:
    if wanted.id is not None:
        return wanted.id
    domain = find_domain(session, wanted.domain) if wanted.domain else None
    query = select(col(Project.id)).where(col(Project.name) == wanted.name, col(Project.domain_id) == domain)
    return session.scalars(query).first()


class Accounts:
    def __init__(self, store: IdentityStore, settings: IdentitySettings) -> None:
        self._store, self._settings = store, settings

    def by_password(self, wanted: InDomain) -> Claim:
        with self._store.read() as session:
            user = find_user(session, wanted)
            if user is None:
                return Claim()
            return Claim(user.id, user.epoch, user.password_hash)

    def by_credential(self, wanted: CredentialMethod) -> Claim:
        with self._store.read() as session:
            credential = self._credential(session, wanted)
            user = session.get(User, credential.user_id) if credential else None
            if credential is None or user is None:
                return Claim()
            return Claim(user.id, user.epoch, credential.secret_hash, credential)

    @staticmethod
    def _credential(session: Session, wanted: CredentialMethod) -> ApplicationCredential | None:
        if wanted.id is not None:
            return session.get(ApplicationCredential, wanted.id)
        user = find_user(session, wanted.user) if wanted.user else None
        query = select(ApplicationCredential).where(
            col(ApplicationCredential.name) == wanted.name, col(ApplicationCredential.user_id) == (user and user.id)
        )
        return session.scalars(query).first()

    def _paused(self, user: User) -> bool:
        limit = self._settings.lockout_failures
        if not limit or user.failures < limit or user.options.get("ignore_lockout_failure_attempts"):
            return False
        return time.time() < user.failed_at + self._settings.lockout_s

    def settle(self, claim: Claim, *, right: bool) -> bool:
        """Record how the password was; whether the user is let in. Guesses that ran at the same time as the one
        that paused the account are refused here, even the right one."""
        if not claim.user_id:
            return False
        with self._store.read() as session:
            user = session.get(User, claim.user_id)
            if user is None or self._paused(user):
                return False
            clean = user.failures == 0
        if right and clean:
            return True
        with self._store.record() as session:
            user = session.get(User, claim.user_id, with_for_update=True)
            if user is None or self._paused(user):
                return False
            over = time.time() >= user.failed_at + self._settings.lockout_s
            user.failures = 0 if right else (1 if over else user.failures + 1)
            user.failed_at = user.failed_at if right else int(time.time())
            session.add(user)
        return right
