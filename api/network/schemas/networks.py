"""Bodies of networks."""

from typing import Annotated

from pydantic import Field

from api.network.schemas.fields import Attributes, DnsDomain, Tagged, Text, Uuid, ZoneHints

Mtu = Annotated[int, Field(ge=0, le=65535)]


class ProviderSegment(Attributes):
    """What carries a network; null is left to the service."""

    network_type: str | None = Field(default=None, alias="provider:network_type", max_length=32)
    physical_network: str | None = Field(default=None, alias="provider:physical_network", max_length=64)
    segmentation_id: int | None = Field(default=None, alias="provider:segmentation_id")


class NetworkCreate(Tagged, ProviderSegment):
    """Source: Networking API v2.0, POST /v2.0/networks. `mtu` 0 is the largest that fits the kind of network.

    `segments` is the other way to write the provider attributes (extension `multi-provider`); a network has one."""

    name: Text = ""
    admin_state_up: bool = True
    shared: bool = False
    external: bool = Field(default=False, alias="router:external")
    is_default: bool = False
    mtu: Mtu = 0
    port_security_enabled: bool = True
    dns_domain: DnsDomain = ""
    qos_policy_id: Uuid | None = None
    availability_zone_hints: ZoneHints = []
    segments: list[ProviderSegment] | None = None


class NetworkUpdate(Attributes):
    """Source: Networking API v2.0, PUT /v2.0/networks/{id}."""

    name: Text = ""
    description: Text = ""
    admin_state_up: bool = True
    shared: bool = False
    external: bool = Field(default=False, alias="router:external")
    is_default: bool = False
    mtu: Mtu = 0
    port_security_enabled: bool = True
    dns_domain: DnsDomain = ""
    qos_policy_id: Uuid | None = None
