"""Bodies of subnets."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from api.network.schemas.fields import Attributes, Cidr, IPv4, NoneIsEmpty, Tagged, Text, Uuid


class Pool(BaseModel):
    model_config = ConfigDict(extra="forbid")
    start: IPv4
    end: IPv4


class HostRoute(BaseModel):
    model_config = ConfigDict(extra="forbid")
    destination: Cidr
    nexthop: IPv4


Nameservers = Annotated[list[IPv4], Field(max_length=5), NoneIsEmpty]
HostRoutes = Annotated[list[HostRoute], Field(max_length=20), NoneIsEmpty]


class SubnetCreate(Tagged):
    """Source: Networking API v2.0, POST /v2.0/subnets. `gateway_ip`: null is none, not given is the first one."""

    network_id: Uuid
    ip_version: int
    cidr: str | None = None
    name: Text = ""
    gateway_ip: IPv4 | None = None
    enable_dhcp: bool = True
    allocation_pools: list[Pool] | None = None
    dns_nameservers: Nameservers = []
    host_routes: HostRoutes = []


class SubnetUpdate(Attributes):
    """Source: Networking API v2.0, PUT /v2.0/subnets/{id}."""

    name: Text = ""
    description: Text = ""
    gateway_ip: IPv4 | None = None
    enable_dhcp: bool = True
    allocation_pools: list[Pool] = []
    dns_nameservers: Nameservers = []
    host_routes: HostRoutes = []
