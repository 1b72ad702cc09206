"""What the network service says of how a port is plugged on this host: its binding.

Source: Networking API v2.0, port binding extended attributes. Hosts here plug taps into Linux bridges; what else a
binding asks for is refused, since a guest on another switch than Neutron's would be ACTIVE and reach nobody."""

from typing import Any

from infra.contracts.errors import host_cannot

Body = dict[str, Any]
BRIDGE = "bridge"


def bridge_name(port: Body) -> str:
    """Name of the bridge that the binding names, '' where it leaves it to the host.

    HostCannot with Nova's words when the port is not bound, or bound to something that no host here plugs."""
    kind, details = port.get("binding:vif_type"), port.get("binding:vif_details") or {}
    if kind == "binding_failed":
        raise host_cannot(f"Binding failed for port {port['id']}, please check neutron logs for more information.")
    if kind is None:
        raise host_cannot(f"The network service does not tell this host how port {port['id']} is bound.")
    if kind != BRIDGE:
        raise host_cannot(f"Unexpected vif_type={kind} of port {port['id']}: hosts here plug Linux bridges.")
    return str(details.get("bridge_name") or "")


def physical_network(network: Body) -> str | None:
    """None for a network of its own. HostCannot when the host's service user may not see it: on a bridge of its own
    the guest of a provider network would reach nobody."""
    if "provider:physical_network" not in network:
        raise host_cannot(f"The network service does not tell this host the physical network of {network['id']}.")
    return network["provider:physical_network"] or None


def neutrons_bridge(network_id: str) -> str:
    """The bridge of a network whose binding names none, as Neutron's own agents and Nova name it."""
    return f"brq{network_id}"[:14]
