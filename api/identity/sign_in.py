"""Signing in: proves who somebody is by one or more methods, then issues a token for what they ask for."""

import asyncio
from typing import NoReturn

from api.common.errors import ServiceError
from api.identity.accounts import Accounts, Claim, Proof, find_domain, find_project
from api.identity.errors import Invalid, NotBuilt, SignInRefused
from api.identity.payload import METHODS, Scope
from api.identity.schemas.auth import Auth, IdentityPart, InDomain, PasswordChange, ScopePart
from api.identity.tokens import Token, Tokens, now_us
from infra.identity_store import IdentityStore
from infra.passwords import Passwords, TooManySignIns
from infra.tables.identity import User


class SignIn:
    def __init__(self, store: IdentityStore, tokens: Tokens, passwords: Passwords, accounts: Accounts) -> None:
        self._store, self._tokens, self._passwords, self._accounts = store, tokens, passwords, accounts

    async def __call__(self, auth: Auth) -> Token:
        """A new token. Raises SignInRefused (401), Invalid (400), and 503 when too many wait."""
        wanted = self._wanted_methods(auth.identity)
        proofs = [await self._prove(auth.identity, method) for method in wanted]
        if len({proof.user_id for proof in proofs}) != 1:
            raise SignInRefused
        return await asyncio.to_thread(self._issue, auth, proofs)

    @staticmethod
    def _wanted_methods(identity: IdentityPart) -> list[str]:
        wanted = list(dict.fromkeys(identity.methods))
        if not wanted:
            raise Invalid("Expecting to find methods in identity.")
        for method in wanted:
            if method not in METHODS:
                raise ServiceError(401, "Attempted to authenticate with an unsupported method.")
            if getattr(identity, method) is None:
                raise Invalid(f"Expecting to find {method} in identity.")
        return wanted

    async def _prove(self, identity: IdentityPart, method: str) -> Proof:
        if method == "password" and identity.password:
            user = identity.password.user
            claim = await asyncio.to_thread(self._accounts.by_password, user)
            await self._check(claim, user.password)
            return Proof(claim.user_id, claim.epoch, ("password",))
        if method == "application_credential" and identity.application_credential:
            given = identity.application_credential
            claim = await asyncio.to_thread(self._accounts.by_credential, given)
            if not await self._matches(given.secret, claim.stored):
                raise SignInRefused
            return Proof(claim.user_id, claim.epoch, ("application_credential",), credential=claim.credential)
        text = identity.token.id if identity.token else ""
        return await asyncio.to_thread(self._prove_token, text)

    def _prove_token(self, text: str) -> Proof:
        token = self._tokens.validate(text)
        if token is None:
            raise SignInRefused
        methods = tuple(dict.fromkeys((*token.payload.methods, "token")))
        return Proof(token.payload.user_id, token.facts.user_epoch, methods, parent=token.payload)

    async def _check(self, claim: Claim, password: str) -> None:
        right = await self._matches(password, claim.stored)
        if not await asyncio.to_thread(self._accounts.settle, claim, right=right):
            raise SignInRefused

    async def _matches(self, secret: str, stored: str | None) -> bool:
        try:
            return await self._passwords.verify(secret, stored)
        except TooManySignIns as error:
            raise ServiceError(503, "Too many are signing in; try again.", headers={"Retry-After": "1"}) from error

    def _issue(self, auth: Auth, proofs: list[Proof]) -> Token:
        parent = next((proof.parent for proof in proofs if proof.parent), None)
        credential = next((proof.credential for proof in proofs if proof.credential), None)
        credential_id = credential.id if credential else ""
        if credential:
            if auth.scope is not None:
                raise ServiceError(401, "Application credentials cannot request a scope.")
            scope = Scope("project", credential.project_id)
        elif parent and parent.application_credential_id:
            scope = parent.scope if auth.scope is None else self._scope(auth.scope)
            credential_id = parent.application_credential_id
        elif auth.scope is None:
            scope = self._default_scope(proofs[0].user_id)
        else:
            scope = self._scope(auth.scope)
        found = self._tokens.facts_of(proofs[0].user_id, scope, credential_id)
        if found is None or any(proof.epoch != found.user_epoch for proof in proofs):
            raise SignInRefused
        if found.credential_expires_us is not None and now_us() >= found.credential_expires_us:
            raise SignInRefused
        methods = tuple(dict.fromkeys(name for proof in proofs for name in proof.methods))
        return self._tokens.issue(found, scope, methods, parent)

    def _scope(self, wanted: ScopePart | str) -> Scope:
        if isinstance(wanted, str) or wanted.unscoped is not None:
            return Scope()
        if wanted.system is not None:
            raise NotBuilt("System scope")
        if wanted.trust is not None:
            raise NotBuilt("Trusts")
        with self._store.read() as session:
            if wanted.project is not None:
                return Scope("project", find_project(session, wanted.project) or self._refuse())
            if wanted.domain is not None:
                return Scope("domain", find_domain(session, wanted.domain) or self._refuse())
        raise Invalid("Expecting to find project, domain or unscoped in scope.")

    @staticmethod
    def _refuse() -> NoReturn:
        raise SignInRefused

    def _default_scope(self, user_id: str) -> Scope:
        """The user's default project where it grants a role, as Keystone does; else no scope."""
        with self._store.read() as session:
            user = session.get(User, user_id)
            project = user.default_project_id if user else None
        scope = Scope("project", project or "")
        return scope if project and self._tokens.facts_of(user_id, scope) else Scope()

    async def change_password(self, user_id: str, change: PasswordChange) -> None:
        """A user's own change, proven by the old password; ends all of the user's tokens."""
        claim = await asyncio.to_thread(self._accounts.by_password, InDomain(id=user_id))
        await self._check(claim, change.original_password)
        await asyncio.to_thread(self._store_password, claim, change.password)

    def _store_password(self, claim: Claim, password: str) -> None:
        hashed = self._passwords.hash(password)
        with self._store.change() as session:
            user = session.get(User, claim.user_id)
            if user is None or not user.enabled or user.epoch != claim.epoch:
                raise SignInRefused
            user.password_hash = hashed
            user.epoch += 1
            session.add(user)
