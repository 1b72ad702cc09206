"""What a host knows of a network: what the network service said, and what its own plugged ports add to that."""

from collections.abc import Sequence

from infra.hostnet.models import FilterAddress, PortPlug
from infra.hostnet.topology import Network, NetworkPort, Subnet


def merged(told: Network | None, network_id: str, plugs: Sequence[PortPlug], *, serves: bool) -> Network:
    """`told`, and the ports that were plugged before the network service's answer could name them.

    `serves`: whether this host answers DHCP for a network that it was not told of."""
    base = told or Network(
        id=network_id,
        serves_dhcp=serves,
        mtu=max((plug.mtu for plug in plugs), default=1500),
        physical_network=next((plug.physical_network for plug in plugs), None),
    )
    subnets = {subnet.id: subnet for plug in plugs for subnet in _subnets(plug)} | {s.id: s for s in base.subnets}
    ports = {port.id for port in base.ports}
    taken = {fixed.ip_address for port in base.ports for fixed in port.fixed_ips}
    names = {plug.port_id: plug.hostname for plug in plugs if plug.hostname}
    told_ports = [p if p.hostname else p.model_copy(update={"hostname": names.get(p.id, "")}) for p in base.ports]
    more = [_port(plug) for plug in plugs if plug.port_id not in ports]
    fresh = [port for port in more if not taken.intersection(fixed.ip_address for fixed in port.fixed_ips)]
    return base.model_copy(
        update={
            "name": base.name or next((plug.network_name for plug in plugs), ""),
            "subnets": [subnets[name] for name in sorted(subnets)],
            "ports": sorted([*told_ports, *fresh], key=lambda port: port.id),
        }
    )


def _subnets(plug: PortPlug) -> list[Subnet]:
    return [
        Subnet(
            id=f.subnet_id, ip_version=6 if ":" in f.cidr else 4, **f.model_dump(exclude={"ip_address", "subnet_id"})
        )
        for f in plug.fixed_ips
    ]


def _port(plug: PortPlug) -> NetworkPort:
    fixed = [FilterAddress(ip_address=f.ip_address, subnet_id=f.subnet_id) for f in plug.fixed_ips]
    return NetworkPort(id=plug.port_id, mac_address=plug.mac_address, fixed_ips=fixed, hostname=plug.hostname)
