"""Tables of networks, subnets, ports and their addresses."""

from typing import Any

from sqlalchemy import JSON, UniqueConstraint
from sqlmodel import Field

from infra.tables.network.base import AddressNumber, Base, Named


class Network(Named, table=True):
    """`physical_network` is set for flat networks only, each of which needs one for itself; `segmentation_id` is the
    VXLAN network identifier of all others. `dhcp_host` is the host that answers DHCP."""

    __tablename__ = "networks"

    admin_state_up: bool = True
    external: bool = False
    is_default: bool = False
    mtu: int = 1500
    network_type: str = Field(default="vxlan", max_length=16)
    physical_network: str | None = Field(default=None, unique=True, max_length=64)
    segmentation_id: int | None = Field(default=None, unique=True)
    port_security_enabled: bool = True
    dns_domain: str = Field(default="", max_length=255)
    availability_zone_hints: list[str] = Field(default_factory=list, sa_type=JSON)
    qos_policy_id: str | None = Field(default=None, foreign_key="qos_policies.id", index=True, max_length=36)
    dhcp_host: str | None = Field(default=None, index=True, max_length=255)


class Subnet(Named, table=True):
    """`next_number` is where the search for a free address goes on, so that freed ones rest for a while."""

    __tablename__ = "subnets"

    network_id: str = Field(foreign_key="networks.id", ondelete="CASCADE", index=True, max_length=36)
    ip_version: int = 4
    cidr: str = Field(max_length=43)
    gateway_ip: str | None = Field(default=None, max_length=39)
    enable_dhcp: bool = True
    ipv6_ra_mode: str | None = Field(default=None, max_length=16)
    ipv6_address_mode: str | None = Field(default=None, max_length=16)
    allocation_pools: list[dict[str, str]] = Field(default_factory=list, sa_type=JSON)
    dns_nameservers: list[str] = Field(default_factory=list, sa_type=JSON)
    host_routes: list[dict[str, str]] = Field(default_factory=list, sa_type=JSON)
    service_types: list[str] = Field(default_factory=list, sa_type=JSON)
    subnetpool_id: str | None = Field(default=None, foreign_key="subnet_pools.id", index=True, max_length=36)
    next_number: int = Field(default=0, sa_type=AddressNumber)

    @property
    def auto_addressed(self) -> bool:
        """Hosts make their own addresses out of their MAC addresses (EUI-64, RFC 4291 appendix A)."""
        return self.ipv6_address_mode in ("slaac", "dhcpv6-stateless")


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
    qos_policy_id: str | None = Field(default=None, foreign_key="qos_policies.id", index=True, max_length=36)


class PortAddress(Base, table=True):
    """One address of a port; `number` is the address as an integer. Nobody else can have it in its subnet."""

    __tablename__ = "port_addresses"
    __table_args__ = (UniqueConstraint("subnet_id", "number"),)

    subnet_id: str = Field(foreign_key="subnets.id", primary_key=True, max_length=36)
    ip_address: str = Field(primary_key=True, max_length=39)
    number: int = Field(sa_type=AddressNumber)
    port_id: str = Field(foreign_key="ports.id", ondelete="CASCADE", index=True, max_length=36)
