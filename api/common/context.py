"""Who is asking: the caller's context, built from the token on every request (seed steps 4-5)."""

from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import Depends, Request
from starlette.types import Scope

from api.common import request_head
from api.common.errors import ServiceError
from infra.identity import IdentityUnavailable, TokenFacts, TokenInvalid, TokenValidator


@dataclass(frozen=True)
class Context:
    """The caller of one request. `is_admin` and `is_service` follow from the roles in the token."""

    token: str
    facts: TokenFacts
    request_id: str
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def user_id(self) -> str:
        return self.facts.user_id

    @property
    def project_id(self) -> str:
        return self.facts.project_id or ""

    @property
    def roles(self) -> list[str]:
        return self.facts.roles

    @property
    def is_admin(self) -> bool:
        return "admin" in self.facts.roles

    @property
    def is_service(self) -> bool:
        return "service" in self.facts.roles

    def credentials(self) -> dict[str, Any]:
        """Shape that oslo.policy checks understand."""
        return {
            "user_id": self.user_id,
            "user_name": self.facts.user_name,
            "project_id": self.facts.project_id,
            "roles": self.roles,
            "domain_id": self.facts.domain_id,
            "user_domain_id": self.facts.user_domain_id,
            "project_domain_id": self.facts.project_domain_id,
        }


async def identify(scope: Scope, *, outlasts: bool = False) -> Context:
    """Whose token a request carries; 401 without a good one, 503 when identity does not answer. `outlasts`: then what
    it said last holds."""
    token = request_head.token(scope)
    if not token:
        raise Unauthorized
    validator: TokenValidator = scope["app"].state.tokens
    request_id: str = scope["state"]["request_id"]
    try:
        facts = await (validator.outlasting if outlasts else validator.validate)(token, request_id)
    except TokenInvalid as error:
        raise Unauthorized from error
    except IdentityUnavailable as error:
        raise ServiceError(503, "The identity service is not reachable; try again.") from error
    return Context(token=token, facts=facts, request_id=request_id)


async def caller(request: Request) -> Context:
    """The caller that the edge found; on a path that needs no token there is one only if the request has a token."""
    known: Context | None = getattr(request.state, "caller", None)
    return known or await identify(request.scope)


class Unauthorized(ServiceError):
    """401 as keystonemiddleware gives it: the challenge header names where to get a token."""

    def __init__(self) -> None:
        super().__init__(401, "The request you have made requires authentication.", title="Unauthorized")


Caller = Annotated[Context, Depends(caller)]
"""Route parameter type: the authenticated caller."""
