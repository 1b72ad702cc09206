"""Bodies of security groups and their rules; what a rule's protocol and ports may be is the model's to say."""

from typing import Annotated, Literal

from pydantic import StringConstraints

from api.network.schemas.fields import Attributes, IpOrCidr, NoneIsEmpty, Owned, Tagged, Text, Uuid


class SecurityGroupCreate(Tagged):
    """Source: Networking API v2.0, POST /v2.0/security-groups."""

    name: Text = ""
    stateful: bool = True


class SecurityGroupUpdate(Attributes):
    name: Text = ""
    description: Text = ""
    stateful: bool = True


GroupId = Annotated[str, StringConstraints(max_length=255, to_lower=True)]
"""Of whatever form, as Neutron takes it: a group that cannot be is one that is not there (404)."""


class RuleCreate(Owned):
    """Source: Networking API v2.0, POST /v2.0/security-group-rules."""

    security_group_id: Uuid
    direction: Literal["ingress", "egress"]
    ethertype: str = "IPv4"
    protocol: str | int | None = None
    port_range_min: int | str | None = None
    port_range_max: int | str | None = None
    remote_ip_prefix: str | None = None
    remote_group_id: GroupId | None = None
    remote_address_group_id: Uuid | None = None


Addresses = Annotated[list[IpOrCidr], NoneIsEmpty]


class AddressGroupCreate(Owned):
    """Source: Networking API v2.0, POST /v2.0/address-groups."""

    name: Text = ""
    addresses: Addresses = []


class AddressGroupUpdate(Attributes):
    name: Text = ""
    description: Text = ""


class AddressList(Attributes):
    addresses: Addresses
