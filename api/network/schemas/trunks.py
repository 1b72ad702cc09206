"""Bodies of trunks and their subports."""

from typing import Annotated, Literal

from pydantic import Field

from api.network.schemas.fields import Attributes, NoneIsEmpty, Tagged, Text, Uuid


class SubPortBody(Attributes):
    """`segmentation_id` is the VLAN by which the parent's guest tells the subport's frames from others."""

    port_id: Uuid
    segmentation_type: Literal["vlan"] = "vlan"
    segmentation_id: Annotated[int, Field(ge=1, le=4094)]


class SubPortName(Attributes):
    port_id: Uuid
    segmentation_type: str | None = None
    segmentation_id: int | None = None


SubPorts = Annotated[list[SubPortBody], NoneIsEmpty]


class TrunkCreate(Tagged):
    """Source: Networking API v2.0, POST /v2.0/trunks."""

    port_id: Uuid
    name: Text = ""
    admin_state_up: bool = True
    sub_ports: SubPorts = []


class TrunkUpdate(Attributes):
    name: Text = ""
    description: Text = ""
    admin_state_up: bool = True


class SubPortList(Attributes):
    sub_ports: SubPorts


class SubPortNames(Attributes):
    sub_ports: list[SubPortName]
