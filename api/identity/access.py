"""Who is asking, and may they: identity checks its own tokens in memory instead of asking itself over HTTP."""

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request
from sqlalchemy import Select
from sqlmodel import Session

from api.common.context import Context, Unauthorized
from api.common.policy import Policy
from api.identity.accounts import Accounts
from api.identity.errors import Forbidden
from api.identity.listing import Listing, selected
from api.identity.sign_in import SignIn
from api.identity.tokens import Token, Tokens
from infra.identity import TokenFacts
from infra.identity_store import IdentityStore
from infra.passwords import Passwords


@dataclass(frozen=True)
class Identity:
    """The parts of the running service, in `app.state.identity`."""

    store: IdentityStore
    tokens: Tokens
    passwords: Passwords
    accounts: Accounts
    sign_in: SignIn
    policy: Policy


def running(request: Request) -> Identity:
    identity: Identity = request.app.state.identity
    return identity


def context_of(token: Token, request_id: str) -> Context:
    """The same shape that other services get from `api.common.context.caller`; no catalog."""
    facts = TokenFacts.from_body(token.body())
    return Context(token=token.text, facts=facts, request_id=request_id, extra={"token": token})


def authenticated(request: Request) -> Context:
    """Context of X-Auth-Token; 401 without a good one. Reads the store: call it from a thread."""
    text = request.headers.get("x-auth-token", "")
    token = running(request).tokens.validate(text) if text else None
    if token is None:
        raise Unauthorized
    return context_of(token, request.state.request_id)


Caller = Annotated[Context, Depends(authenticated)]
"""Route parameter type: the authenticated caller, as everywhere else."""


class Access:
    """What a route of the API needs: the caller, the rules, the store, and the address to put into links."""

    def __init__(self, request: Request, caller: Caller) -> None:
        self.identity = running(request)
        self.store = self.identity.store
        self.caller = caller
        self.request = request

    @property
    def base(self) -> str:
        return base_url(self.request)

    @property
    def home_domain(self) -> str:
        """Where the caller's new users and projects go when the body names no domain."""
        facts = self.caller.facts
        return facts.domain_id or facts.project_domain_id or facts.user_domain_id

    @property
    def token(self) -> Token:
        token: Token = self.caller.extra["token"]
        return token

    def may(self, action: str, **target: Any) -> bool:
        """Whether the rule `identity:<action>` lets the caller; `user_id=…` is `target.user.id` in the rule."""
        flat = {f"target.{name.removesuffix('_id')}.id": value for name, value in target.items()}
        return self.identity.policy.allows(self.caller, f"identity:{action}", flat)

    def allow(self, action: str, **target: Any) -> None:
        """403 unless the caller `may`."""
        if not self.may(action, **target):
            raise Forbidden(f"identity:{action}")

    def rows(self, session: Session, model: Any, query: Select[Any], filters: dict[str, Any]) -> list[Any]:
        """Rows of `query` that pass the request's filters, one page of them."""
        return selected(session, query, Listing(model, filters, self.request.query_params))

    def collection(self, name: str, items: list[dict[str, Any]]) -> dict[str, Any]:
        return {name: items, "links": {"self": str(self.request.url), "next": None, "previous": None}}

    def link(self, *parts: str) -> dict[str, str]:
        return {"self": "/".join((self.base, *parts))}


def base_url(request: Request) -> str:
    """`…/v3` under the name by which the client reached us."""
    return f"{request.url.scheme}://{request.url.netloc}/v3"


Here = Annotated[Access, Depends()]
"""Route parameter type: an authenticated call."""
