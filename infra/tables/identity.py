"""Tables of the identity service: who exists, who may do what where, and where the services are.

`epoch` columns count the events that end tokens: a token carries the sum of the epochs it was issued under, and dies
with the first of them that moves. Unlike times of issue, epochs know no clock skew and no "same second".
"""

import uuid
from typing import Any, ClassVar

from sqlalchemy import JSON, BigInteger, MetaData, UniqueConstraint
from sqlmodel import Field, SQLModel

metadata = MetaData()


def new_id() -> str:
    return uuid.uuid4().hex


class IdentityTable(SQLModel):
    metadata: ClassVar[MetaData] = metadata


class Revision(IdentityTable, table=True):
    """One row. `facts` moves with every write that tokens or the catalog depend on, `revoked` with revocations."""

    __tablename__ = "revisions"
    id: int = Field(default=1, primary_key=True)
    facts: int = 0
    revoked: int = 0


class Domain(IdentityTable, table=True):
    __tablename__ = "domains"
    id: str = Field(default_factory=new_id, primary_key=True, max_length=64)
    name: str = Field(max_length=64, unique=True)
    description: str = ""
    enabled: bool = True
    epoch: int = 0
    extra: dict[str, Any] = Field(default_factory=dict, sa_type=JSON)


class Project(IdentityTable, table=True):
    __tablename__ = "projects"
    __table_args__ = (UniqueConstraint("domain_id", "name"),)
    id: str = Field(default_factory=new_id, primary_key=True, max_length=64)
    name: str = Field(max_length=64)
    domain_id: str = Field(foreign_key="domains.id", max_length=64)
    parent_id: str = Field(max_length=64, index=True)  # the domain's id for a top-level project
    description: str = ""
    enabled: bool = True
    epoch: int = 0
    tags: list[str] = Field(default_factory=list, sa_type=JSON)
    extra: dict[str, Any] = Field(default_factory=dict, sa_type=JSON)


class User(IdentityTable, table=True):
    __tablename__ = "users"
    __table_args__ = (UniqueConstraint("domain_id", "name"),)
    id: str = Field(default_factory=new_id, primary_key=True, max_length=64)
    name: str = Field(max_length=255)
    domain_id: str = Field(foreign_key="domains.id", max_length=64)
    default_project_id: str | None = Field(default=None, max_length=64)
    description: str | None = None
    enabled: bool = True
    password_hash: str | None = None
    epoch: int = 0
    failures: int = 0  # wrong passwords since the last right one
    failed_at: int = Field(default=0, sa_type=BigInteger)  # seconds since 1970
    options: dict[str, Any] = Field(default_factory=dict, sa_type=JSON)
    extra: dict[str, Any] = Field(default_factory=dict, sa_type=JSON)


class Role(IdentityTable, table=True):
    __tablename__ = "roles"
    id: str = Field(default_factory=new_id, primary_key=True, max_length=64)
    name: str = Field(max_length=255, unique=True)
    description: str | None = None


class ImpliedRole(IdentityTable, table=True):
    __tablename__ = "implied_roles"
    prior_role_id: str = Field(foreign_key="roles.id", primary_key=True, max_length=64)
    implied_role_id: str = Field(foreign_key="roles.id", primary_key=True, max_length=64)


class Assignment(IdentityTable, table=True):
    """A role that a user has directly. `target_kind` is `project` or `domain`, `target_id` its id."""

    __tablename__ = "assignments"
    user_id: str = Field(foreign_key="users.id", primary_key=True, max_length=64)
    target_id: str = Field(primary_key=True, max_length=64, index=True)
    role_id: str = Field(foreign_key="roles.id", primary_key=True, max_length=64)
    target_kind: str = Field(max_length=8)


class ScopeEpoch(IdentityTable, table=True):
    """Counts the roles that a user lost on a target."""

    __tablename__ = "scope_epochs"
    user_id: str = Field(primary_key=True, max_length=64)
    target_id: str = Field(primary_key=True, max_length=64)
    epoch: int = 0


class Service(IdentityTable, table=True):
    __tablename__ = "services"
    id: str = Field(default_factory=new_id, primary_key=True, max_length=64)
    type: str = Field(max_length=255)
    name: str = Field(default="", max_length=255)
    description: str = ""
    enabled: bool = True


class Region(IdentityTable, table=True):
    __tablename__ = "regions"
    id: str = Field(default_factory=new_id, primary_key=True, max_length=255)
    description: str = ""
    parent_region_id: str | None = Field(default=None, foreign_key="regions.id", max_length=255)


class Endpoint(IdentityTable, table=True):
    __tablename__ = "endpoints"
    id: str = Field(default_factory=new_id, primary_key=True, max_length=64)
    service_id: str = Field(foreign_key="services.id", max_length=64, index=True)
    region_id: str | None = Field(default=None, foreign_key="regions.id", max_length=255)
    interface: str = Field(max_length=8)  # public, internal or admin
    url: str
    enabled: bool = True


class ApplicationCredential(IdentityTable, table=True):
    __tablename__ = "application_credentials"
    __table_args__ = (UniqueConstraint("user_id", "name"),)
    id: str = Field(default_factory=new_id, primary_key=True, max_length=64)
    name: str = Field(max_length=255)
    description: str | None = None
    user_id: str = Field(foreign_key="users.id", max_length=64)
    project_id: str = Field(foreign_key="projects.id", max_length=64, index=True)
    secret_hash: str
    role_ids: list[str] = Field(default_factory=list, sa_type=JSON)
    expires_us: int | None = Field(default=None, sa_type=BigInteger)  # microseconds since 1970
    unrestricted: bool = False


class Revocation(IdentityTable, table=True):
    """A token ended before its time; kept until it would have expired anyway."""

    __tablename__ = "revocations"
    audit_id: str = Field(primary_key=True, max_length=32)
    expires_at: int = Field(index=True, sa_type=BigInteger)  # seconds since 1970
