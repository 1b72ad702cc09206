"""Bodies of floating addresses."""

from api.network.schemas.fields import Attributes, IPv4, Tagged, Text, Uuid


class FloatingIpCreate(Tagged):
    """Source: Networking API v2.0, POST /v2.0/floatingips."""

    floating_network_id: Uuid
    floating_ip_address: IPv4 | None = None
    subnet_id: Uuid | None = None
    port_id: Uuid | None = None
    fixed_ip_address: IPv4 | None = None


class FloatingIpUpdate(Attributes):
    """Source: Networking API v2.0, PUT /v2.0/floatingips/{id}. `port_id` null takes the address off its port."""

    description: Text = ""
    port_id: Uuid | None = None
    fixed_ip_address: IPv4 | None = None
