"""Types of attributes that several resources share; each refuses bad values in words a tenant may read."""

import ipaddress
import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints


def _ip(value: str) -> str:
    try:
        if "%" in value:
            raise ValueError
        return str(ipaddress.ip_address(value))
    except ValueError:
        raise ValueError(f"'{value}' is not a valid IP address.") from None


def _ipv4(value: str) -> str:
    if ":" in _ip(value):
        raise ValueError(f"'{value}' is not an IPv4 address.")
    return _ip(value)


def _cidr(value: str) -> str:
    """`value` as a network: its host bits are dropped, as Neutron drops them."""
    try:
        if "%" in value:
            raise ValueError
        network = ipaddress.ip_network(value, strict=False)
    except ValueError:
        raise ValueError(f"'{value}' is not a valid IP subnet.") from None
    if "/" not in value:
        raise ValueError(f"'{value}' isn't a recognized IP subnet cidr, '{network}' is recommended.")
    return str(network)


def _ip_or_cidr(value: str) -> str:
    return _cidr(value) if "/" in value else _ip(value)


NOBODYS = ("00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff")


def _mac(value: str) -> str:
    mac = value.lower()
    if not re.fullmatch(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}", mac) or mac in NOBODYS:
        raise ValueError(f"'{value}' is not a valid MAC address.")
    return mac


def _dns_label(value: str) -> str:
    if value and not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?", value):
        raise ValueError(f"'{value}' is not a valid DNS label.")
    return value


def _dns_domain(value: str) -> str:
    labels = value.removesuffix(".").split(".")
    if value and not all(label and _dns_label(label) for label in labels):
        raise ValueError(f"'{value}' is not a valid DNS domain.")
    return value


def _unique(values: list[str]) -> list[str]:
    if len(set(values)) < len(values):
        raise ValueError(f"Duplicate items in the list: '{', '.join(values)}'.")
    return values


def _none_to_list(value: Any) -> Any:
    return [] if value is None else value


def _number(value: Any) -> Any:
    """Neutron takes numbers in strings wherever it takes numbers; pydantic does so for `int`, not for a Literal."""
    return int(value) if isinstance(value, str) and value.isdecimal() and value.isascii() else value


def not_blank(value: str) -> str:
    if not value.strip():
        raise ValueError(f"'{value}' Blank strings are not permitted.")
    return value


def not_null(value: Any) -> Any:
    if value is None:
        raise ValueError("'None' is not an integer.")
    return value


def each_once(what: str) -> AfterValidator:
    """Refuses a list that has one of its values twice."""

    def checked(values: list[Any]) -> list[Any]:
        for n, value in enumerate(values):
            if value in values[:n]:
                shown = value.model_dump() if isinstance(value, BaseModel) else value
                raise ValueError(f"Duplicate {what} '{shown}'.")
        return values

    return AfterValidator(checked)


ProjectId = Annotated[str | None, Field(max_length=64)]
Text = Annotated[str, StringConstraints(max_length=255)]
Uuid = Annotated[str, StringConstraints(pattern=r"^[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$", to_lower=True)]
Ip = Annotated[str, AfterValidator(_ip)]
IPv4 = Annotated[str, AfterValidator(_ipv4)]
Cidr = Annotated[str, AfterValidator(_cidr)]
IpOrCidr = Annotated[str, AfterValidator(_ip_or_cidr)]
Mac = Annotated[str, AfterValidator(_mac)]
DnsLabel = Annotated[str, AfterValidator(_dns_label)]
DnsDomain = Annotated[str, StringConstraints(max_length=255), AfterValidator(_dns_domain)]
IpVersion = Annotated[Literal[4, 6], BeforeValidator(_number)]
NoneIsEmpty = BeforeValidator(_none_to_list)
TagText = Annotated[str, StringConstraints(min_length=1, max_length=255)]
ZoneHints = Annotated[list[Annotated[str, StringConstraints(max_length=255)]], NoneIsEmpty]
Tags = Annotated[list[TagText], AfterValidator(_unique)]


class Attributes(BaseModel):
    """Attributes that a body may have; unknown ones are refused."""

    model_config = ConfigDict(extra="forbid")


class Owned(Attributes):
    project_id: ProjectId = None
    tenant_id: ProjectId = None
    description: Text = ""


class Tagged(Owned):
    tags: Tags = []
