"""Bodies of networks."""

from typing import Annotated

from pydantic import Field

from api.network.schemas.fields import Attributes, DnsDomain, Tagged, Text, Uuid, ZoneHints

Mtu = Annotated[int, Field(ge=0, le=65535)]


class NetworkCreate(Tagged):
    """Source: Networking API v2.0, POST /v2.0/networks. `mtu` 0 is the largest that fits the kind of network."""

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
    network_type: str | None = Field(default=None, alias="provider:network_type", max_length=32)
    physical_network: str | None = Field(default=None, alias="provider:physical_network", max_length=64)
    segmentation_id: int | None = Field(default=None, alias="provider:segmentation_id")


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
