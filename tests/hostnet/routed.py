"""Networks, guests and routers of a lab whose provider network is 203.0.113.0/24, with a machine outside at .99."""

import uuid

from infra.hostnet.models import FilterAddress, FixedIp, HostRoute
from infra.hostnet.topology import (
    FloatingIp,
    Gateway,
    Network,
    NetworkPort,
    PortForwarding,
    Router,
    RouterAddress,
    RouterPort,
    Subnet,
)
from tests.hostnet.conftest import Host, StandIn, filters, ingress, ip

EXTERNAL = "203.0.113.0/24"
OUTSIDE = "203.0.113.99"


def identity(name: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, name))


def mac(name: str) -> str:
    digest = uuid.uuid5(uuid.NAMESPACE_OID, name).hex
    return "fa:16:3e:" + ":".join(digest[i : i + 2] for i in range(0, 6, 2))


def network(name: str, cidr: str, **changes: object) -> Network:
    prefix = cidr.rsplit(".", 1)[0]
    subnet = Subnet(id=identity(f"subnet {name}"), cidr=cidr, gateway_ip=f"{prefix}.1")
    known: dict[str, object] = {"id": identity(name), "name": name, "subnets": [subnet]}
    return Network.model_validate(known | changes)


def external() -> Network:
    return network("external", EXTERNAL, physical_network="provider", external=True)


def router_port(told: Network, number: int, name: str = "") -> RouterPort:
    subnet = told.subnets[0]
    address = RouterAddress(
        ip_address=f"{subnet.cidr.rsplit('.', 1)[0]}.{number}", subnet_id=subnet.id, prefixlen=subnet.prefixlen
    )
    who = f"router {name} {told.name} {number}"
    return RouterPort(port_id=identity(who), network_id=told.id, mac_address=mac(who), fixed_ips=[address])


def gateway(number: int, name: str = "", *, snat: bool = True, outer: Network | None = None) -> Gateway:
    outer = outer or external()
    port = router_port(outer, number, name)
    return Gateway(**port.model_dump(), gateway_ip=outer.subnets[0].gateway_ip, enable_snat=snat)


def router(name: str, *inner: Network, outer: Gateway | None = None, **changes: object) -> Router:
    known: dict[str, object] = {
        "id": identity(f"router {name}"),
        "interfaces": [router_port(told, 1, name) for told in inner],
        "gateway": outer,
    }
    return Router.model_validate(known | changes)


def floating(address: str, guest: StandIn) -> FloatingIp:
    return FloatingIp(id=identity(f"floating {address}"), floating_ip_address=address, fixed_ip_address=guest.address)


def forwarding(address: str, port: int, guest: StandIn, inner: int) -> PortForwarding:
    return PortForwarding(
        id=identity(f"forwarding {address} {port}"),
        floating_ip_address=address,
        protocol="tcp",
        external_port=port,
        internal_ip_address=guest.address,
        internal_port=inner,
    )


def route(destination: str, hop: str) -> HostRoute:
    return HostRoute(destination=destination, nexthop=hop)


class Lab:
    """A host with guests on tenant networks and one machine outside. `guests` keep all ports open."""

    def __init__(self, host: Host) -> None:
        self.host, self.guests = host, list[StandIn]()

    def networks(self, *told: Network) -> None:
        for one in told:
            self.host.net.ensure_network(one)

    def guest(self, told: Network, number: int, *ports: int) -> StandIn:
        """A guest that listens on `ports`, with its default route by the network's gateway."""
        subnet = told.subnets[0]
        prefix, name = subnet.cidr.rsplit(".", 1)[0], f"guest {told.id} {number}"
        fixed = FixedIp(
            ip_address=f"{prefix}.{number}", subnet_id=subnet.id, cidr=subnet.cidr, gateway_ip=f"{prefix}.1"
        )
        changes = {"network_id": told.id, "port_id": identity(name), "mac_address": mac(name), "fixed_ips": [fixed]}
        guest = self.host.boot(self.host.port(number, **changes))
        ip(guest.ns, "route", "add", "default", "via", f"{prefix}.1")
        for port in ports:
            guest.listen(port)
        self.guests.append(guest)
        self.host.net.apply_groups([filters(g.plug, ingress(None)) for g in self.guests], {})
        return guest

    def outside(self, *ports: int) -> StandIn:
        """The machine beyond the provider network's uplink."""
        plug = self.host.port(99, network_id=external().id, mac_address=mac("outside"), fixed_ips=[])
        machine = StandIn(self.host.ns, plug, "br-provider", "uplink")
        self.host.guests.append(machine)
        machine.configure(OUTSIDE)
        for port in ports:
            machine.listen(port)
        return machine


def entry(guest: StandIn) -> NetworkPort:
    """The guest's port as the network service tells DHCP of it."""
    fixed = [FilterAddress(ip_address=f.ip_address, subnet_id=f.subnet_id) for f in guest.plug.fixed_ips]
    return NetworkPort(id=guest.plug.port_id, mac_address=guest.plug.mac_address, fixed_ips=fixed)
