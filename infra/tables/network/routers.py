"""Tables of routers, floating addresses and port forwardings. Interfaces and gateways of routers are ports."""

from sqlalchemy import JSON, UniqueConstraint
from sqlmodel import Field

from infra.tables.network.base import Named, Standard


class Router(Named, table=True):
    """`host` is where the router runs; `status` is what that host says, BUILD until it says something."""

    __tablename__ = "routers"

    admin_state_up: bool = True
    enable_snat: bool = True
    routes: list[dict[str, str]] = Field(default_factory=list, sa_type=JSON)
    availability_zone_hints: list[str] = Field(default_factory=list, sa_type=JSON)
    host: str | None = Field(default=None, index=True, max_length=255)
    status: str = Field(default="BUILD", max_length=16)


class FloatingIp(Standard, table=True):
    """`floating_port_id` holds the address on the external network; `port_id` is the one it leads to.

    `router_id` is set without `port_id` while port forwardings use the address."""

    __tablename__ = "floating_ips"
    __table_args__ = (UniqueConstraint("port_id", "fixed_ip_address", "floating_network_id"),)

    floating_network_id: str = Field(foreign_key="networks.id", index=True, max_length=36)
    floating_ip_address: str = Field(index=True, max_length=15)
    floating_port_id: str = Field(foreign_key="ports.id", unique=True, max_length=36)
    port_id: str | None = Field(default=None, foreign_key="ports.id", index=True, max_length=36)
    fixed_ip_address: str | None = Field(default=None, max_length=15)
    router_id: str | None = Field(default=None, foreign_key="routers.id", index=True, max_length=36)
    status: str = Field(default="DOWN", max_length=16)


class PortForwarding(Standard, table=True):
    """Ports of a floating address that lead to ports of one guest each; first and last of each range, both included."""

    __tablename__ = "port_forwardings"

    floatingip_id: str = Field(foreign_key="floating_ips.id", ondelete="CASCADE", index=True, max_length=36)
    internal_port_id: str = Field(foreign_key="ports.id", ondelete="CASCADE", index=True, max_length=36)
    internal_ip_address: str = Field(max_length=15)
    protocol: str = Field(max_length=8)
    external_first: int
    external_last: int
    internal_first: int
    internal_last: int
