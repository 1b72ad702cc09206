"""Body of a host's report."""

from typing import Annotated, Literal

from pydantic import Field

from api.network.schemas.fields import Attributes

Id = Annotated[str, Field(max_length=36)]


class HostReport(Attributes):
    """What a host says every few seconds. `tunnel_ip`: where other hosts send its VXLAN packets; `bridge_mappings`:
    physical network to bridge. A router, floating address or port that is not named keeps its status."""

    tunnel_ip: Annotated[str, Field(max_length=39)] = ""
    bridge_mappings: dict[str, str] = {}
    routers: dict[Id, Literal["ACTIVE", "ERROR", "DOWN"]] = {}
    floating_ips: dict[Id, Literal["ACTIVE", "ERROR", "DOWN"]] = {}
    ports: dict[Id, Literal["ACTIVE", "DOWN"]] = {}


class AgentUpdate(Attributes):
    """Source: Networking API v2.0, PUT /v2.0/agents/{agent_id}."""

    admin_state_up: bool = True
    description: Annotated[str, Field(max_length=255)] = ""
