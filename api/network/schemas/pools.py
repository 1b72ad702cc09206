"""Bodies of subnet pools and address scopes."""

from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from api.network.schemas.fields import Attributes, Cidr, IpVersion, Owned, Tagged, Text, Uuid, not_blank, not_null

Prefixlen = Annotated[int, Field(ge=0, le=128)]
NamedPrefixlen = Annotated[Prefixlen | None, BeforeValidator(not_null)]
"""A length that may be left out, and not be null."""
Share = Annotated[int, Field(ge=0, le=2**31 - 1)]


class SubnetPoolCreate(Tagged):
    """Source: Networking API v2.0, POST /v2.0/subnetpools."""

    name: Annotated[Text, AfterValidator(not_blank)]
    prefixes: list[Cidr]
    default_prefixlen: NamedPrefixlen = None
    min_prefixlen: NamedPrefixlen = None
    max_prefixlen: NamedPrefixlen = None
    default_quota: Share | None = None
    shared: bool = False
    is_default: bool = False
    address_scope_id: Uuid | None = None


class SubnetPoolUpdate(Attributes):
    name: Text = ""
    description: Text = ""
    prefixes: list[Cidr] = []
    default_prefixlen: Prefixlen = 0
    min_prefixlen: Prefixlen = 0
    max_prefixlen: Prefixlen = 0
    default_quota: Share | None = None
    is_default: bool = False
    address_scope_id: Uuid | None = None


class PrefixList(Attributes):
    prefixes: list[Cidr]


class AddressScopeCreate(Owned):
    """Source: Networking API v2.0, POST /v2.0/address-scopes."""

    name: Text = ""
    ip_version: IpVersion
    shared: bool = False


class AddressScopeUpdate(Attributes):
    name: Text = ""
    shared: bool = False
