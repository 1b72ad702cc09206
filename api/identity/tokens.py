"""Issues, validates and revokes tokens; answers from memory for as long as the store and the keys stand still."""

import json
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import delete, select
from sqlmodel import Session, col

from api.identity import catalog, facts
from api.identity.facts import Facts
from api.identity.payload import Payload, Scope, new_audit_id
from api.identity.seal import Sealer
from api.identity.settings import IdentitySettings
from infra.identity_store import IdentityStore
from infra.tables.identity import Revocation

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MOST_REMEMBERED = 4096


def now_us() -> int:
    return time.time_ns() // 1000


def iso(us: int) -> str:
    """Microseconds since 1970 as Keystone writes times: 2025-01-31T12:00:00.000000Z."""
    return (EPOCH + timedelta(microseconds=us)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@dataclass(frozen=True)
class Token:
    """A token that is good (or, where allowed, was until it expired)."""

    text: str
    payload: Payload
    facts: Facts

    def body(self) -> dict[str, Any]:
        """The API's `token` object without its catalog."""
        payload = self.payload
        return {
            "methods": list(payload.methods),
            **self.facts.body,
            "audit_ids": list(payload.audit_ids),
            "expires_at": iso(payload.expires_us),
            "issued_at": iso(payload.issued_us),
        }


class Unknown:
    """Not looked up yet, where None means looked up and refused."""


UNKNOWN = Unknown()
FactsKey = tuple[str, Scope, str]


@dataclass
class Memory:
    """What was derived from one state of store and keys; never corrected, only dropped."""

    state: tuple[int, int, int]
    tokens: dict[str, Token] = field(default_factory=dict)
    facts: dict[FactsKey, Facts | None] = field(default_factory=dict)
    catalog: list[dict[str, Any]] | None = None
    catalog_json: dict[tuple[str, str], bytes] = field(default_factory=dict)


def _remember(memory: dict[Any, Any], key: Any, value: Any) -> None:
    if len(memory) >= MOST_REMEMBERED:
        memory.clear()
    memory[key] = value


class Tokens:
    def __init__(self, store: IdentityStore, sealer: Sealer, settings: IdentitySettings) -> None:
        self._store, self._sealer, self._settings = store, sealer, settings
        self._memory = Memory((-1, -1, -1))

    def _current(self) -> Memory:
        """Memory for the state of the store as it is now. A thread that got an older one fills only that."""
        state = (*self._store.revision(), self._sealer.version)
        memory = self._memory
        if memory.state != state:
            # Facts and catalog do not depend on revocations and keys.
            kept = (
                (memory.facts, memory.catalog, memory.catalog_json) if memory.state[0] == state[0] else ({}, None, {})
            )
            memory = self._memory = Memory(state, {}, *kept)
        return memory

    def facts_of(self, user_id: str, scope: Scope, credential_id: str = "") -> Facts | None:
        return self._facts(self._current(), (user_id, scope, credential_id))

    def _facts(self, memory: Memory, key: FactsKey, session: Session | None = None) -> Facts | None:
        found = memory.facts.get(key, UNKNOWN)
        if not isinstance(found, Unknown):
            return found
        if session is None:
            with self._store.read() as session:
                return self._facts(memory, key, session)
        loaded = facts.load(session, *key)
        _remember(memory.facts, key, loaded)
        return loaded

    def issue(self, user_facts: Facts, scope: Scope, methods: tuple[str, ...], parent: Payload | None = None) -> Token:
        """A new token; one made from `parent` ends when that ends and carries its chain's audit id.

        An application credential's token ends no later than the credential."""
        issued = now_us()
        expires = parent.expires_us if parent else issued + self._settings.token_ttl_s * 1_000_000
        if user_facts.credential_expires_us is not None:
            expires = min(expires, user_facts.credential_expires_us)
        body = user_facts.body
        payload = Payload(
            user_id=body["user"]["id"],
            scope=scope,
            methods=methods,
            issued_us=issued,
            expires_us=expires,
            stamp=user_facts.stamp,
            audit_ids=(new_audit_id(), parent.audit_ids[-1]) if parent else (new_audit_id(),),
            application_credential_id=body.get("application_credential", {}).get("id", ""),
        )
        return Token(self._sealer.seal(payload), payload, user_facts)

    def validate(self, text: str, *, allow_expired: bool = False) -> Token | None:
        """The token behind `text`; None when it is unknown, expired, revoked, or its subject lost what it needs."""
        memory = self._current()
        token = memory.tokens.get(text)
        if token is None:
            token = self._examine(memory, text)
            if token is None:
                return None
            _remember(memory.tokens, text, token)
        grace = self._settings.expired_window_s * 1_000_000 if allow_expired else 0
        return token if now_us() < token.payload.expires_us + grace else None

    def _examine(self, memory: Memory, text: str) -> Token | None:
        payload = self._sealer.open(text)
        if payload is None or now_us() > payload.expires_us + self._settings.expired_window_s * 1_000_000:
            return None
        with self._store.read() as session:
            revoked = select(Revocation).where(col(Revocation.audit_id) == payload.audit_ids[0])
            if session.execute(revoked).first() is not None:
                return None
            key = (payload.user_id, payload.scope, payload.application_credential_id)
            known = self._facts(memory, key, session)
        if known is None or known.stamp & 0xFFFFFFFF != payload.stamp:
            return None
        return Token(text, payload, known)

    def revoke(self, token: Token) -> None:
        """End this token, not those made from it. Entries that no answer depends on any more are dropped."""
        keep_s = self._settings.expired_window_s
        entry = Revocation(audit_id=token.payload.audit_ids[0], expires_at=token.payload.expires_us // 1_000_000 + 1)
        with self._store.revoke() as session:
            session.execute(delete(Revocation).where(col(Revocation.expires_at) < int(time.time()) - keep_s))
            session.merge(entry)

    def catalog_of(self, user_id: str, project_id: str) -> bytes:
        """JSON list of the catalog as this user sees it in this project."""
        memory = self._current()
        if memory.catalog is None:
            with self._store.read() as session:
                memory.catalog = catalog.load(session)
        key = (user_id, project_id) if catalog.is_templated(memory.catalog) else ("", "")
        rendered = memory.catalog_json.get(key)
        if rendered is None:
            filled = catalog.filled(memory.catalog, user_id, project_id)
            rendered = json.dumps(filled, separators=(",", ":")).encode()
            _remember(memory.catalog_json, key, rendered)
        return rendered

    def render(self, token: Token, *, with_catalog: bool = True) -> bytes:
        """The body of an answer about `token`; a token without a scope has no catalog."""
        body = json.dumps({"token": token.body()}, separators=(",", ":")).encode()
        if not with_catalog or token.payload.scope.kind == "unscoped":
            return body
        return body[:-2] + b',"catalog":' + self.catalog_of(token.payload.user_id, token.facts.project_id) + b"}}"
