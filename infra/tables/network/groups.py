"""Tables of security groups, their rules and their members."""

from sqlalchemy import JSON
from sqlmodel import Field

from infra.tables.network.base import Base, Named, Standard


class SecurityGroup(Named, table=True):
    """`default_of` is the project whose `default` group this is: at most one each."""

    __tablename__ = "security_groups"

    default_of: str | None = Field(default=None, unique=True, max_length=64)
    stateful: bool = True


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
    remote_address_group_id: str | None = Field(
        default=None, foreign_key="address_groups.id", index=True, max_length=36
    )


class AddressGroup(Named, table=True):
    """`addresses` are prefixes of either IP version, without host bits, in their order."""

    __tablename__ = "address_groups"

    addresses: list[str] = Field(default_factory=list, sa_type=JSON)


class PortGroup(Base, table=True):
    """A port is a member of a security group."""

    __tablename__ = "port_security_groups"

    port_id: str = Field(foreign_key="ports.id", ondelete="CASCADE", primary_key=True, max_length=36)
    security_group_id: str = Field(foreign_key="security_groups.id", primary_key=True, index=True, max_length=36)
