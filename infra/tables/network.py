"""Tables of the network service: networks, subnets, ports, addresses, security groups and their rules."""

import uuid
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, MetaData, UniqueConstraint
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_label)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def now() -> datetime:
    return datetime.now(UTC)


def new_id() -> str:
    return str(uuid.uuid4())


class Base(SQLModel, registry=registry(metadata=metadata)):
    """Base of every table of this store."""


class Standard(Base):
    """What every resource has: owner, words, revision, times."""

    id: str = Field(default_factory=new_id, primary_key=True, max_length=36)
    project_id: str = Field(index=True, max_length=64)
    description: str = Field(default="", max_length=255)
    revision_number: int = 1
    created_at: datetime = Field(default_factory=now)
    updated_at: datetime = Field(default_factory=now)

    def touch(self) -> None:
        self.revision_number += 1
        self.updated_at = now()


class Named(Standard):
    name: str = Field(default="", index=True, max_length=255)


class Network(Named, table=True):
    """`physical_network` is set for flat networks only, each of which needs one for itself."""

    __tablename__ = "networks"

    admin_state_up: bool = True
    shared: bool = False
    external: bool = False
    mtu: int = 1500
    network_type: str = Field(default="local", max_length=16)
    physical_network: str | None = Field(default=None, unique=True, max_length=64)
    port_security_enabled: bool = True


class Subnet(Named, table=True):
    """`next_number` is where the search for a free address goes on, so that freed ones rest for a while."""

    __tablename__ = "subnets"

    network_id: str = Field(foreign_key="networks.id", ondelete="CASCADE", index=True, max_length=36)
    cidr: str = Field(max_length=18)
    gateway_ip: str | None = Field(default=None, max_length=15)
    enable_dhcp: bool = True
    allocation_pools: list[dict[str, str]] = Field(default_factory=list, sa_type=JSON)
    dns_nameservers: list[str] = Field(default_factory=list, sa_type=JSON)
    host_routes: list[dict[str, str]] = Field(default_factory=list, sa_type=JSON)
    next_number: int = Field(default=0, sa_type=BigInteger)


class Port(Named, table=True):
    __tablename__ = "ports"
    __table_args__ = (UniqueConstraint("network_id", "mac_address"),)

    network_id: str = Field(foreign_key="networks.id", max_length=36)
    mac_address: str = Field(index=True, max_length=17)
    admin_state_up: bool = True
    status: str = Field(default="DOWN", max_length=16)
    device_id: str = Field(default="", index=True, max_length=255)
    device_owner: str = Field(default="", max_length=255)
    host: str = Field(default="", index=True, max_length=255)
    vnic_type: str = Field(default="normal", max_length=32)
    profile: dict[str, Any] = Field(default_factory=dict, sa_type=JSON)
    port_security_enabled: bool = True
    allowed_address_pairs: list[dict[str, str]] = Field(default_factory=list, sa_type=JSON)
    dns_name: str = Field(default="", max_length=63)


class PortAddress(Base, table=True):
    """One IPv4 address of a port; `number` is the address as an integer. Nobody else can have it in its subnet."""

    __tablename__ = "port_addresses"
    __table_args__ = (UniqueConstraint("subnet_id", "number"),)

    subnet_id: str = Field(foreign_key="subnets.id", primary_key=True, max_length=36)
    ip_address: str = Field(primary_key=True, max_length=15)
    number: int = Field(sa_type=BigInteger)
    port_id: str = Field(foreign_key="ports.id", ondelete="CASCADE", index=True, max_length=36)


class SecurityGroup(Named, table=True):
    """`default_of` is the project whose `default` group this is: at most one each."""

    __tablename__ = "security_groups"

    default_of: str | None = Field(default=None, unique=True, max_length=64)


class SecurityGroupRule(Standard, table=True):
    """`protocol` None is any; for ICMP `port_range_min` is the type and `port_range_max` the code."""

    __tablename__ = "security_group_rules"

    security_group_id: str = Field(foreign_key="security_groups.id", ondelete="CASCADE", index=True, max_length=36)
    direction: str = Field(max_length=8)
    ethertype: str = Field(default="IPv4", max_length=8)
    protocol: str | None = Field(default=None, max_length=16)
    port_range_min: int | None = None
    port_range_max: int | None = None
    remote_ip_prefix: str | None = Field(default=None, max_length=64)
    remote_group_id: str | None = Field(
        default=None, foreign_key="security_groups.id", ondelete="CASCADE", index=True, max_length=36
    )


class PortGroup(Base, table=True):
    """A port is a member of a security group."""

    __tablename__ = "port_security_groups"

    port_id: str = Field(foreign_key="ports.id", ondelete="CASCADE", primary_key=True, max_length=36)
    security_group_id: str = Field(foreign_key="security_groups.id", primary_key=True, index=True, max_length=36)


class Tag(Base, table=True):
    __tablename__ = "network_tags"

    resource_id: str = Field(primary_key=True, max_length=36)
    tag: str = Field(primary_key=True, max_length=255)


class Quota(Base, table=True):
    """A project's own limit of one resource; -1 is none."""

    __tablename__ = "network_quotas"

    project_id: str = Field(primary_key=True, max_length=64)
    resource: str = Field(primary_key=True, max_length=64)
    limit: int


class Ledger(Base, table=True):
    """The store's only row of its kind: writers lock it, `filters` counts changes of what hosts filter by."""

    __tablename__ = "network_ledger"

    id: int = Field(default=1, primary_key=True)
    store_id: str = Field(max_length=36)
    filters: int = Field(default=0, sa_type=BigInteger)
