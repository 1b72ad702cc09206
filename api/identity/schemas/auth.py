"""Bodies of POST /v3/auth/tokens: who signs in, how, and for which project or domain."""

from typing import Any, Literal, Self

from pydantic import model_validator

from api.identity.schemas.common import Body, Id, Name, Secret, Text


class DomainRef(Body):
    """A domain by id or name."""

    id: Id | None = None
    name: Name | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.id is None and self.name is None:
            raise ValueError("a domain needs an id or a name")
        return self


class InDomain(Body):
    """Something by id, or by name within a domain."""

    id: Id | None = None
    name: Name | None = None
    domain: DomainRef | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.id is None and (self.name is None or self.domain is None):
            raise ValueError("needs an id, or a name and a domain")
        return self


class PasswordUser(InDomain):
    password: Secret


class Password(Body):
    user: PasswordUser


class TokenMethod(Body):
    id: Text


class CredentialMethod(Body):
    """An application credential by id, or by name and its user."""

    id: Id | None = None
    name: Name | None = None
    user: InDomain | None = None
    secret: Secret

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.id is None and (self.name is None or self.user is None):
            raise ValueError("needs an id, or a name and a user")
        return self


class IdentityPart(Body):
    methods: list[Text]
    password: Password | None = None
    token: TokenMethod | None = None
    application_credential: CredentialMethod | None = None


class ScopePart(Body):
    project: InDomain | None = None
    domain: DomainRef | None = None
    unscoped: dict[str, Any] | None = None
    system: dict[str, Any] | None = None
    trust: dict[str, Any] | None = None

    @model_validator(mode="before")
    @classmethod
    def _trust_by_its_name(cls, given: Any) -> Any:
        if isinstance(given, dict) and "OS-TRUST:trust" in given:
            return {**given, "trust": given["OS-TRUST:trust"]}
        return given


class Auth(Body):
    identity: IdentityPart
    scope: ScopePart | Literal["unscoped"] | None = None


class AuthBody(Body):
    auth: Auth


class PasswordChange(Body):
    password: Secret
    original_password: Secret


class PasswordChangeBody(Body):
    user: PasswordChange
