"""Validates tokens with the identity service over HTTP, as seed steps 4-5 demand; short cache, revocation seen."""

import asyncio
import time
from collections import OrderedDict
from concurrent.futures import Future
from datetime import UTC, datetime
from hashlib import sha256
from threading import Lock
from typing import Any

import requests
from anyio import CapacityLimiter, to_thread
from pydantic import BaseModel, PrivateAttr

from infra.known_tokens import KnownTokens
from infra.settings import Settings
from infra.transport import Transport

MOST_KNOWN = 2000
MOST_REFUSED = 2000
MOST_AT_ONCE = 40
"""Questions that wait for identity, in threads that nothing else needs."""
OUTLASTING_S = 2.0
"""So long one who is believed by what was said of him last waits for identity to say it again."""
AGES = 0.75
"""The part of an answer's time after which it is asked for anew, beside the request that it still serves."""
HEARD_AGES = 0.95
"""The same for what another service was told, who is the first to ask anew."""


class TokenFacts(BaseModel):
    """What identity says about a token: who, in which project, with which roles, and the catalog.

    Source: Identity API v3, GET /v3/auth/tokens (body `token`)."""

    user_id: str
    user_name: str = ""
    user_domain_id: str = "default"
    project_id: str | None = None
    project_name: str | None = None
    project_domain_id: str | None = None
    domain_id: str | None = None
    roles: list[str] = []
    expires_at: str = ""
    catalog: list[dict[str, Any]] = []
    _addresses: dict[tuple[str, str], str] = PrivateAttr(default_factory=dict)

    @property
    def addresses(self) -> dict[tuple[str, str], str]:
        """What was found in the catalog: (service type, region) → address."""
        return self._addresses

    @property
    def lives(self) -> bool:
        """Whether the token has not ended by itself. One without an end has."""
        return bool(self.expires_at) and datetime.fromisoformat(self.expires_at) > datetime.now(UTC)

    @classmethod
    def from_body(cls, token: dict[str, Any]) -> "TokenFacts":
        project = token.get("project") or {}
        return cls(
            user_id=token["user"]["id"],
            user_name=token["user"].get("name", ""),
            user_domain_id=token["user"].get("domain", {}).get("id", "default"),
            project_id=project.get("id"),
            project_name=project.get("name"),
            project_domain_id=project.get("domain", {}).get("id"),
            domain_id=(token.get("domain") or {}).get("id"),
            roles=[role["name"] for role in token.get("roles", [])],
            expires_at=token.get("expires_at", ""),
            catalog=token.get("catalog", []),
        )

    def endpoint(self, *types: str, interface: str = "internal") -> str:
        """URL of the first catalog service that has one of `types`; LookupError when there is none."""
        for wanted in types:
            for service in self.catalog:
                if service["type"] != wanted:
                    continue
                by_interface = {e["interface"]: e["url"] for e in service["endpoints"]}
                if url := by_interface.get(interface) or by_interface.get("public"):
                    return str(url).rstrip("/")
        raise LookupError(f"no {' or '.join(types)} endpoint in the catalog")


class TokenInvalid(Exception):
    """The token is unknown, expired or revoked."""


class IdentityUnavailable(Exception):
    """Identity did not answer; the token may be good."""


class _Known:
    """Facts of tokens that were good at most `seconds` ago. Safe for threads. With `told`, what other processes of this
    machine were told is known, too, for as long as they believe it."""

    def __init__(self, seconds: float, told: KnownTokens | None = None) -> None:
        self._seconds, self._told = seconds, told
        self._facts: dict[str, tuple[float, TokenFacts]] = {}
        self._heard: set[str] = set()

    def get(self, token: str) -> TokenFacts | None:
        until, facts = self._facts.get(token, (0.0, None))
        return facts if until > time.monotonic() else None

    def last(self, token: str) -> TokenFacts | None:
        """What was said last of a token that has not ended yet, however long ago, unless that was forgotten."""
        _, facts = self._facts.get(token, (0.0, None))
        return facts if facts and facts.lives else None

    def ages(self, token: str) -> bool:
        """Whether the facts of a token that is known are soon believed no more."""
        until, _ = self._facts.get(token, (0.0, None))
        return until - time.monotonic() < self._seconds * (1 - (HEARD_AGES if token in self._heard else AGES))

    def hear(self, token: str) -> None:
        """What another process was told since, where what is known here ages."""
        if not self.ages(token):
            return
        told = self._told.get(_digest(token)) if self._told else None
        if told and told[0] + self._seconds > max(self._facts.get(token, (0.0,))[0], time.monotonic()):
            self._keep(token, told[0], TokenFacts.from_body(told[1]))
            self._heard.add(token)

    def judge(self, token: str, answer: requests.Response) -> TokenFacts:
        """What identity answered about `token`, kept when it is good."""
        try:
            body = _judge(answer)
        except TokenInvalid:
            self._facts.pop(token, None)
            if self._told:
                self._told.forget(_digest(token))
            raise
        now = time.monotonic()
        if self._told:
            self._told.keep(_digest(token), now, body)
        return self._keep(token, now, TokenFacts.from_body(body))

    def _keep(self, token: str, said: float, facts: TokenFacts) -> TokenFacts:
        if len(self._facts) > MOST_KNOWN:
            now = time.monotonic()
            self._facts = {k: v for k, v in list(self._facts.items()) if v[0] > now}
            self._heard.intersection_update(list(self._facts))
        self._facts[token] = (said + self._seconds, facts)
        self._heard.discard(token)
        return facts


class _Refused:
    """Digests of tokens that were refused at most `seconds` ago: whoever sends rubbish chooses how long it is, and how
    much. Safe for threads."""

    def __init__(self, seconds: float) -> None:
        self._seconds, self._guard = seconds, Lock()
        self._until: OrderedDict[bytes, float] = OrderedDict()

    def add(self, token: str) -> None:
        digest = _digest(token)
        with self._guard:
            self._until[digest] = time.monotonic() + self._seconds
            self._until.move_to_end(digest)
            if len(self._until) > MOST_REFUSED:
                self._until.popitem(last=False)

    def __contains__(self, token: str) -> bool:
        return self._until.get(_digest(token), 0.0) > time.monotonic()


def _digest(token: str) -> bytes:
    return sha256(token.encode("utf-8", "surrogateescape")).digest()


class TokenValidator:
    """Asks identity who a token is. The token authenticates its own validation (Keystone's `token_subject` rule),
    so that a validating service holds no credentials. An answer, a refusal too, is believed for `token_cache_s`, and
    longer only by `outlasting`; whoever sends request after request seldom waits for the next one, which is asked for
    while the last still holds."""

    def __init__(self, settings: Settings) -> None:
        self._url = f"{settings.identity_url}/auth/tokens"
        told = KnownTokens(settings.run_dir / "tokens")
        self._known, self._known_without_catalog = _Known(settings.token_cache_s, told), _Known(settings.token_cache_s)
        self._refused = _Refused(settings.token_cache_s)
        self._http, self._threads = Transport(), CapacityLimiter(MOST_AT_ONCE)
        self._asking: dict[str, asyncio.Future[TokenFacts]] = {}
        self._asked_by_threads: dict[str, Future[TokenFacts]] = {}
        self._guard = Lock()

    async def validate(self, token: str, request_id: str = "") -> TokenFacts:
        """Facts of `token`; raises TokenInvalid or IdentityUnavailable. Of requests at once one asks."""
        self._known.hear(token)
        facts = self._known.get(token)
        if facts and not self._known.ages(token):
            return facts
        if token in self._refused:
            raise TokenInvalid
        asking = self._asking.get(token)
        if asking is None:
            asking = self._asking[token] = asyncio.ensure_future(self._ask_aside(token, request_id))
            asking.add_done_callback(lambda done: self._answered(token, done))
        return facts if facts else await asyncio.shield(asking)

    async def outlasting(self, token: str, request_id: str = "") -> TokenFacts:
        """The same; but while identity does not answer, what it said last of a token holds, until the token's end. For
        who reports that he is there: that nobody can be asked who he is makes him no absent one."""
        last = self._known.last(token)
        if last is None:
            return await self.validate(token, request_id)
        try:
            return await asyncio.wait_for(self.validate(token, request_id), OUTLASTING_S)
        except (IdentityUnavailable, TimeoutError):
            return last

    def _answered(self, token: str, done: "asyncio.Future[TokenFacts]") -> None:
        """A refusal of what was asked ahead is what the next request meets; without an answer the last one holds for as
        long as it would have."""
        del self._asking[token]
        if not done.cancelled():
            done.exception()

    async def _ask_aside(self, token: str, request_id: str) -> TokenFacts:
        return await to_thread.run_sync(self._ask, self._known, self._url, token, request_id, limiter=self._threads)

    def validate_now(self, token: str, request_id: str = "") -> TokenFacts:
        """The same for threads, without the catalog."""
        if facts := self._known_without_catalog.get(token):
            return facts
        self._known.hear(token)
        if facts := self._known.get(token):
            return facts
        if token in self._refused:
            raise TokenInvalid
        with self._guard:
            mine = token not in self._asked_by_threads
            answer = self._asked_by_threads.setdefault(token, Future())
        if mine:
            try:
                answer.set_result(self._ask(self._known_without_catalog, f"{self._url}?nocatalog", token, request_id))
            except BaseException as error:
                answer.set_exception(error)
            with self._guard:
                del self._asked_by_threads[token]
        return answer.result()

    def _ask(self, known: _Known, url: str, token: str, request_id: str) -> TokenFacts:
        try:
            answer = self._http.get(url, headers=_headers(token, request_id), timeout=10.0, allow_redirects=False)
        except requests.RequestException as error:
            raise IdentityUnavailable(type(error).__name__) from error
        try:
            return known.judge(token, answer)
        except TokenInvalid:
            self._refused.add(token)
            raise

    async def close(self) -> None:
        for asking in self._asking.values():
            asking.cancel()
        self._http.close()


def _headers(token: str, request_id: str) -> dict[str, str]:
    headers = {"X-Auth-Token": token, "X-Subject-Token": token}
    return headers | {"X-OpenStack-Request-ID": request_id} if request_id else headers


def _judge(answer: requests.Response) -> dict[str, Any]:
    if answer.status_code in (401, 404):
        raise TokenInvalid  # a 403 says that identity's rules are wrong, and nothing of the token
    if answer.status_code != 200:
        raise IdentityUnavailable(f"identity answered {answer.status_code}")
    token: dict[str, Any] = answer.json()["token"]
    return token
