"""Bodies of routers, of their interfaces and of their routes."""

from typing import Annotated

from pydantic import BeforeValidator

from api.network.schemas.fields import Attributes, NoneIsEmpty, Tagged, Text, Uuid, ZoneHints, each_once
from api.network.schemas.ports import FixedIp
from api.network.schemas.subnets import HostRoute

Routes = Annotated[list[HostRoute], NoneIsEmpty]
DistinctRoutes = Annotated[Routes, each_once("hostroute")]


class Gateway(Attributes):
    """The way out: an external network, the router's addresses on it, and whether it hides what lies behind."""

    network_id: Uuid
    enable_snat: bool | None = None
    external_fixed_ips: Annotated[list[FixedIp], NoneIsEmpty] = []


GatewayInfo = Annotated[Gateway | None, BeforeValidator(lambda value: None if value == {} else value)]
"""An empty object is no gateway, as null is."""


class RouterCreate(Tagged):
    """Source: Networking API v2.0, POST /v2.0/routers."""

    name: Text = ""
    admin_state_up: bool = True
    external_gateway_info: GatewayInfo = None
    availability_zone_hints: ZoneHints = []


class RouterUpdate(Attributes):
    """Source: Networking API v2.0, PUT /v2.0/routers/{id}. `external_gateway_info` null takes the gateway away."""

    name: Text = ""
    description: Text = ""
    admin_state_up: bool = True
    external_gateway_info: GatewayInfo = None
    routes: DistinctRoutes = []


class Interface(Attributes):
    """By subnet: a port on its gateway address; by port: that very port."""

    subnet_id: Uuid | None = None
    port_id: Uuid | None = None


class RouteList(Attributes):
    routes: Routes
