"""Bodies of port forwardings."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from api.network.schemas.fields import Attributes, IPv4, Text, Uuid

TcpPort = Annotated[int, Field(ge=1, le=65535)]


def _range(value: str) -> str:
    found = re.fullmatch(r"(\d{1,5}):(\d{1,5})", value)
    if found is None or not 1 <= int(found[1]) <= int(found[2]) <= 65535:
        raise ValueError(f"'{value}' is not a range of ports from 1 to 65535, as FIRST:LAST.")
    return f"{int(found[1])}:{int(found[2])}"


Range = Annotated[str, AfterValidator(_range)]
Protocol = Annotated[
    Literal["tcp", "udp"], BeforeValidator(lambda value: value.lower() if isinstance(value, str) else value)
]


class PortForwardingCreate(Attributes):
    """Source: Networking API v2.0, POST /v2.0/floatingips/{floatingip_id}/port_forwardings. Each side has a port or
    a range."""

    internal_port_id: Uuid
    internal_ip_address: IPv4 | None = None
    internal_port: TcpPort | None = None
    internal_port_range: Range | None = None
    external_port: TcpPort | None = None
    external_port_range: Range | None = None
    protocol: Protocol
    description: Text = ""
    project_id: Text | None = None
    tenant_id: Text | None = None


class PortForwardingUpdate(Attributes):
    internal_port_id: Uuid | None = None
    internal_ip_address: IPv4 | None = None
    internal_port: TcpPort | None = None
    internal_port_range: Range | None = None
    external_port: TcpPort | None = None
    external_port_range: Range | None = None
    protocol: Protocol | None = None
    description: Text = ""
