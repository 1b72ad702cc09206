"""Bodies of subnets."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from api.network.schemas.fields import Attributes, Cidr, Ip, IpVersion, NoneIsEmpty, Tagged, Text, Uuid, each_once

Mode = Literal["slaac", "dhcpv6-stateful", "dhcpv6-stateless"]


class Pool(BaseModel):
    model_config = ConfigDict(extra="forbid")
    start: Ip
    end: Ip


class HostRoute(BaseModel):
    model_config = ConfigDict(extra="forbid")
    destination: Cidr
    nexthop: Ip


Nameservers = Annotated[list[Ip], NoneIsEmpty, each_once("nameserver")]
HostRoutes = Annotated[list[HostRoute], NoneIsEmpty, each_once("hostroute")]
ServiceTypes = Annotated[list[Text], NoneIsEmpty]


class SubnetCreate(Tagged):
    """Source: Networking API v2.0, POST /v2.0/subnets. `gateway_ip`: null is none, not given is the first one.

    Without `cidr` the prefix comes from a subnet pool, `prefixlen` long or as long as the pool says."""

    network_id: Uuid
    ip_version: IpVersion
    cidr: Cidr | None = None
    name: Text = ""
    gateway_ip: Ip | None = None
    enable_dhcp: bool = True
    allocation_pools: list[Pool] | None = None
    dns_nameservers: Nameservers = []
    host_routes: HostRoutes = []
    ipv6_ra_mode: Mode | None = None
    ipv6_address_mode: Mode | None = None
    service_types: ServiceTypes = []
    subnetpool_id: Uuid | None = None
    use_default_subnetpool: bool = False
    prefixlen: Annotated[int, Field(ge=0, le=128)] | None = None


class SubnetUpdate(Attributes):
    """Source: Networking API v2.0, PUT /v2.0/subnets/{id}."""

    name: Text = ""
    description: Text = ""
    gateway_ip: Ip | None = None
    enable_dhcp: bool = True
    allocation_pools: list[Pool] = []
    dns_nameservers: Nameservers = []
    host_routes: HostRoutes = []
    service_types: ServiceTypes = []
