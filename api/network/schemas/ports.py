"""Bodies of ports."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from api.network.schemas.fields import (
    Attributes,
    DnsLabel,
    Ip,
    IpOrCidr,
    Mac,
    NoneIsEmpty,
    Tagged,
    Text,
    Uuid,
)

VnicType = Literal[
    "normal", "direct", "direct-physical", "macvtap", "baremetal", "virtio-forwarder", "vdpa", "smart-nic"
]


class FixedIp(BaseModel):
    """An address to have: of this subnet, this very one, or both."""

    model_config = ConfigDict(extra="forbid")
    subnet_id: Uuid | None = None
    ip_address: Ip | None = None


class AddressPair(BaseModel):
    model_config = ConfigDict(extra="forbid")
    ip_address: IpOrCidr
    mac_address: Mac | None = None


FixedIps = Annotated[list[FixedIp], NoneIsEmpty]
Pairs = Annotated[list[AddressPair], NoneIsEmpty]
Groups = Annotated[list[Uuid], NoneIsEmpty]
Profile = dict[str, Any] | None


class PortCreate(Tagged):
    """Source: Networking API v2.0, POST /v2.0/ports. `id` and `status` are this service's own, for roles admin and
    service: an id chosen beforehand makes a repeated create answer 409."""

    network_id: Uuid
    id: Uuid | None = None
    name: Text = ""
    admin_state_up: bool = True
    mac_address: Mac | None = None
    fixed_ips: FixedIps | None = None
    device_id: Text = ""
    device_owner: Text = ""
    security_groups: Groups | None = None
    port_security_enabled: bool | None = None
    allowed_address_pairs: Pairs = []
    dns_name: DnsLabel = ""
    qos_policy_id: Uuid | None = None
    host_id: Text | None = Field(default=None, alias="binding:host_id")
    vnic_type: VnicType = Field(default="normal", alias="binding:vnic_type")
    profile: Profile = Field(default=None, alias="binding:profile")
    status: Literal["ACTIVE", "DOWN", "BUILD", "ERROR"] | None = None


class PortUpdate(Attributes):
    """Source: Networking API v2.0, PUT /v2.0/ports/{id}."""

    name: Text = ""
    description: Text = ""
    admin_state_up: bool = True
    mac_address: Mac | None = None
    fixed_ips: FixedIps = []
    device_id: Text = ""
    device_owner: Text = ""
    security_groups: Groups = []
    port_security_enabled: bool = True
    allowed_address_pairs: Pairs = []
    dns_name: DnsLabel = ""
    qos_policy_id: Uuid | None = None
    host_id: Text | None = Field(default=None, alias="binding:host_id")
    vnic_type: VnicType = Field(default="normal", alias="binding:vnic_type")
    profile: Profile = Field(default=None, alias="binding:profile")
    status: Literal["ACTIVE", "DOWN", "BUILD", "ERROR"] = "DOWN"
