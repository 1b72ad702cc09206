"""What a compute host is told about networks and routers: the answer to `GET /v2.0/kilonova/topology?host=`."""

from typing import Annotated

from pydantic import BaseModel, Field

from infra.hostnet.models import Address, FilterAddress, HostRoute, Identifier, Mac, PortFilter, Prefix, SetName, _Known


class Subnet(_Known):
    """Neutron's subnet. `ipv6_ra_mode` and `ipv6_address_mode`: slaac, dhcpv6-stateful, dhcpv6-stateless or None."""

    id: Identifier
    cidr: Prefix
    ip_version: int = 4
    gateway_ip: Address | None = None
    enable_dhcp: bool = True
    dns_nameservers: list[Address] = []
    host_routes: list[HostRoute] = []
    ipv6_ra_mode: str | None = None
    ipv6_address_mode: str | None = None

    @property
    def prefixlen(self) -> int:
        return int(self.cidr.partition("/")[2])


class NetworkPort(_Known):
    """What DHCP and DNS need to know of any port of a network, on whatever host it is."""

    id: Identifier
    mac_address: Mac
    fixed_ips: list[FilterAddress] = []
    hostname: str = ""


class Network(_Known):
    """`segment`: VXLAN network identifier. `peers`: tunnel addresses of the other hosts that have it.
    `ports`: those that this host answers by DHCP, when `serves_dhcp`."""

    id: Identifier
    name: str = ""
    segment: Annotated[int, Field(gt=0, lt=2**24)] | None = None
    physical_network: str | None = None
    mtu: Annotated[int, Field(ge=68, le=65535)] = 1500
    external: bool = False
    admin_state_up: bool = True
    peers: list[Address] = []
    serves_dhcp: bool = False
    dns_domain: str = ""
    subnets: list[Subnet] = []
    ports: list[NetworkPort] = []

    def subnet(self, subnet_id: str | None) -> Subnet | None:
        return next((s for s in self.subnets if s.id == subnet_id), None)


class RouterAddress(_Known):
    ip_address: Address
    subnet_id: Identifier | None = None
    prefixlen: Annotated[int, Field(ge=0, le=128)]

    @property
    def cidr(self) -> str:
        return f"{self.ip_address}/{self.prefixlen}"


class RouterPort(_Known):
    port_id: Identifier
    network_id: Identifier
    mac_address: Mac
    admin_state_up: bool = True
    fixed_ips: list[RouterAddress] = []


class Gateway(RouterPort):
    """`gateway_ip`, `gateway_ipv6`: the next hops out of the external network."""

    gateway_ip: Address | None = None
    gateway_ipv6: Address | None = None
    enable_snat: bool = True


class FloatingIp(_Known):
    id: Identifier
    floating_ip_address: Address
    fixed_ip_address: Address
    port_id: str | None = None


class PortForwarding(_Known):
    """`external_port_range` and `internal_port_range` are 'FIRST:LAST', used instead of the ports: of equal length, or
    the inner one has a single port, to which all of the outer ones lead."""

    id: Identifier
    floating_ip_address: Address
    protocol: str
    external_port: int | None = None
    internal_port: int | None = None
    external_port_range: str | None = None
    internal_port_range: str | None = None
    internal_ip_address: Address

    def pairs(self) -> list[tuple[int, int]]:
        """External and internal port, each one of a range."""
        outer = _ports(self.external_port_range, self.external_port)
        inner = _ports(self.internal_port_range, self.internal_port)
        if len(inner) == 1:
            return [(port, inner[0]) for port in outer]
        return list(zip(outer, inner, strict=True))


def _ports(text: str | None, one: int | None) -> range:
    if text:
        first, _, last = text.partition(":")
        return range(int(first), int(last or first) + 1)
    return range(one or 0, (one or 0) + 1)


class Router(_Known):
    """A router that this host serves."""

    id: Identifier
    project_id: str = ""
    admin_state_up: bool = True
    interfaces: list[RouterPort] = []
    gateway: Gateway | None = None
    routes: list[HostRoute] = []
    floating_ips: list[FloatingIp] = []
    port_forwardings: list[PortForwarding] = []

    @property
    def ports(self) -> list[RouterPort]:
        return [*self.interfaces, *([self.gateway] if self.gateway else [])]


class Topology(BaseModel):
    """All that one host has to bring about. `sets`: addresses by the name that rules give as `remote_set`."""

    networks: list[Network] = []
    ports: list[PortFilter] = []
    sets: dict[SetName, list[Prefix]] = {}
    routers: list[Router] = []
