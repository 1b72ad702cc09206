"""Body of POST /v3/users/{id}/application_credentials."""

from datetime import UTC, datetime
from typing import Any, Self

from pydantic import Field, model_validator

from api.identity.schemas.common import Body, Flag, Id, Name, Secret, Text


class RoleRef(Body):
    """A role by id or name."""

    id: Id | None = None
    name: Name | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.id is None) == (self.name is None):
            raise ValueError("needs an id or a name")
        return self


class CredentialCreate(Body):
    name: Name
    description: Text | None = None
    secret: Secret | None = Field(default=None, min_length=1)
    roles: list[RoleRef] | None = Field(default=None, min_length=1, max_length=100)
    expires_at: datetime | None = None
    unrestricted: Flag | None = None
    access_rules: list[Any] | None = None

    @property
    def expires_us(self) -> int | None:
        """Microseconds since 1970; a time without a zone is UTC."""
        if self.expires_at is None:
            return None
        at = self.expires_at if self.expires_at.tzinfo else self.expires_at.replace(tzinfo=UTC)
        return int(at.timestamp() * 1_000_000)


class CredentialCreateBody(Body):
    application_credential: CredentialCreate
