"""Tables of what projects share: RBAC policies, subnet pools and address scopes."""

from sqlalchemy import JSON, UniqueConstraint
from sqlmodel import Field

from infra.tables.network.base import Base, Named, Standard


class RbacPolicy(Standard, table=True):
    """`target_project` may do `action` with the object; `*` is every project."""

    __tablename__ = "rbac_policies"
    __table_args__ = (UniqueConstraint("object_id", "action", "target_project"),)

    object_type: str = Field(index=True, max_length=32)
    object_id: str = Field(index=True, max_length=36)
    action: str = Field(max_length=32)
    target_project: str = Field(index=True, max_length=64)


class AddressScope(Named, table=True):
    __tablename__ = "address_scopes"

    ip_version: int


class SubnetPool(Named, table=True):
    """`default_quota` is what a project may have of it: IPv4 in addresses, IPv6 in /64 prefixes."""

    __tablename__ = "subnet_pools"

    ip_version: int
    prefixes: list[str] = Field(default_factory=list, sa_type=JSON)
    default_prefixlen: int
    min_prefixlen: int
    max_prefixlen: int
    default_quota: int | None = None
    is_default: bool = False
    address_scope_id: str | None = Field(default=None, foreign_key="address_scopes.id", index=True, max_length=36)


class AutoTopology(Base, table=True):
    """What was made for a project that named no network; at most one each."""

    __tablename__ = "auto_topologies"

    project_id: str = Field(primary_key=True, max_length=64)
    network_id: str = Field(foreign_key="networks.id", ondelete="CASCADE", index=True, max_length=36)
    router_id: str = Field(foreign_key="routers.id", ondelete="CASCADE", index=True, max_length=36)
