"""Making and changing subnets."""

from ipaddress import ip_address, ip_network
from typing import Any

from sqlmodel import Session, col, select

from api.network.ask import Asker
from api.network.errors import bad, conflict, invalid
from api.network.model import addresses, limits, pools, quotas, ranges, tags
from api.network.model.kinds import find
from api.network.model.networks import NETWORKS
from api.network.model.own_ports import INTERFACE
from api.network.model.ranges import Cidr
from api.network.model.subnets import enforce
from api.network.schemas.subnets import SubnetCreate, SubnetUpdate
from infra.tables.network import Network, Port, PortAddress, Subnet

SERVICES = ("network:", "compute:", "neutron:", "baremetal:", "trunk:")
"""Beginnings of the device owners that a subnet may be for."""
PLAIN = {
    "network_id",
    "name",
    "description",
    "ip_version",
    "enable_dhcp",
    "dns_nameservers",
    "host_routes",
    "ipv6_ra_mode",
    "ipv6_address_mode",
    "service_types",
}


def create(session: Session, ask: Asker, body: SubnetCreate, _given: list[str]) -> Subnet:
    """Gateway: as given, none if null, the first address if not given. Pools: as given, or all that is left."""
    project_id = ask.owner(body.project_id, body.tenant_id)
    network = find(session, ask, NETWORKS, body.network_id)
    ask.enforce("create_subnet", project_id, network.project_id)
    _check_modes(body)
    _check_counts(body, "new subnet")
    _check_service_types(body.service_types)
    pool = pools.wanted(session, ask, body)
    text = pools.allocate(session, pool, body, project_id) if pool else body.cidr
    if text is None:
        raise bad("Bad subnets request: a subnetpool must be specified in the absence of a cidr.", "BadRequest")
    cidr = ranges.subnet_cidr(body.ip_version, text, body.enable_dhcp)
    if (body.ipv6_ra_mode or body.ipv6_address_mode) in ("slaac", "dhcpv6-stateless"):
        _check_eui64(cidr)
    others = session.exec(select(Subnet.cidr).where(Subnet.network_id == network.id))
    ranges.check_overlap(cidr, network.id, others)
    _check_families(body, body.ip_version)
    gateway = body.gateway_ip if "gateway_ip" in body.model_fields_set else ranges.default_gateway(cidr)
    quotas.check(session, project_id, "subnet")
    row = Subnet(
        project_id=project_id,
        cidr=str(cidr),
        gateway_ip=gateway,
        allocation_pools=_pools(cidr, gateway, [pool.model_dump() for pool in body.allocation_pools or []]),
        subnetpool_id=pool.id if pool else None,
        **body.model_dump(include=PLAIN),
    )
    session.add(row)
    session.flush()
    tags.add(session, row, body.tags)
    network.touch()
    _address_ports(session, row)
    return row


def _pools(cidr: Cidr, gateway: str | None, given: ranges.Pools) -> ranges.Pools:
    ranges.check_gateway(cidr, gateway)
    return ranges.checked_pools(cidr, gateway, given) if given else ranges.default_pools(cidr, gateway)


def _check_modes(body: SubnetCreate) -> None:
    """IPv6 modes need IPv6 and DHCP, and agree with each other."""
    ra, address = body.ipv6_ra_mode, body.ipv6_address_mode
    if body.ip_version == 4:
        for name in ("ipv6_ra_mode", "ipv6_address_mode"):
            if getattr(body, name):
                raise invalid(f"{name} is not valid when ip_version is 4")
    if (ra or address) and not body.enable_dhcp:
        raise invalid("ipv6_ra_mode or ipv6_address_mode cannot be set when enable_dhcp is set to False")
    if ra and address and ra != address:
        raise invalid(
            f"ipv6_ra_mode set to '{ra}' with ipv6_address_mode set to '{address}' is not valid. If both attributes "
            "are set, they must be the same value"
        )


def _check_eui64(cidr: Cidr) -> None:
    if cidr.prefixlen != 64:
        raise invalid(
            f"Invalid CIDR {cidr} for IPv6 address mode. OpenStack uses the EUI-64 address format, which requires the "
            "prefix to be /64"
        )


def _check_counts(body: SubnetCreate | SubnetUpdate, subnet: str) -> None:
    for name in ("dns_nameservers", "host_routes", "allocation_pools", "service_types"):
        limits.check(name, getattr(body, name) or (), subnet)


def _check_service_types(wanted: list[str]) -> None:
    for one in wanted:
        if not one.startswith(SERVICES):
            words = f"Subnet service type {one} does not correspond to a valid device owner."
            raise bad(words, "InvalidSubnetServiceType")


def _check_families(body: SubnetCreate | SubnetUpdate, ip_version: int) -> None:
    """Name servers and routes are of the subnet's IP version."""
    for server in body.dns_nameservers:
        if ip_address(server).version != ip_version:
            raise invalid(f"dns_nameserver '{server}' does not match the ip_version '{ip_version}'")
    for route in body.host_routes:
        if ip_network(route.destination).version != ip_version:
            raise invalid(f"destination '{route.destination}' does not match the ip_version '{ip_version}'")
        if ip_address(route.nexthop).version != ip_version:
            raise invalid(f"nexthop '{route.nexthop}' does not match the ip_version '{ip_version}'")


def _address_ports(session: Session, row: Subnet) -> None:
    """Ports that are there already get the addresses that their hosts make of a new SLAAC subnet."""
    if not row.auto_addressed:
        return
    ports = select(Port).where(Port.network_id == row.network_id, col(Port.device_owner) != INTERFACE)
    for port in session.exec(ports.where(col(Port.device_owner).not_in(("network:floatingip",)))).all():
        session.add_all(addresses.own_address(session, row, port))
        port.touch()
    session.flush()


def update(session: Session, ask: Asker, row: Subnet, body: SubnetUpdate, _given: list[str]) -> None:
    enforce(session, ask, "update_subnet", row)
    changes: dict[str, Any] = body.model_dump(include=body.model_fields_set)
    cidr = ip_network(row.cidr)
    if changes.get("enable_dhcp") and not row.enable_dhcp:
        ranges.subnet_cidr(row.ip_version, row.cidr, enable_dhcp=True)
    if changes.get("enable_dhcp") is False and (row.ipv6_ra_mode or row.ipv6_address_mode):
        raise invalid("Cannot disable enable_dhcp with ipv6 attributes set")
    _check_counts(body, row.id)
    _check_service_types(body.service_types)
    _check_families(body, row.ip_version)
    if "gateway_ip" in changes or "allocation_pools" in changes:
        gateway = changes.get("gateway_ip", row.gateway_ip)
        ranges.check_gateway(cidr, gateway)
        wanted = changes.get("allocation_pools", row.allocation_pools)
        changes["allocation_pools"] = ranges.checked_pools(cidr, gateway, wanted)
        _check_gateway_free(session, row, gateway)
    for name, value in changes.items():
        setattr(row, name, value)
    row.touch()
    session.get_one(Network, row.network_id).touch()


def _check_gateway_free(session: Session, row: Subnet, gateway: str | None) -> None:
    """409 when a port has the new gateway's address, or a router has the old one's."""
    if gateway == row.gateway_ip:
        return
    for address, owners in ((gateway, ""), (row.gateway_ip, "network:router")):
        holder = session.get(PortAddress, (row.id, address)) if address else None
        if holder and session.get_one(Port, holder.port_id).device_owner.startswith(owners):
            raise conflict("GatewayIpInUse", f"Gateway ip {address} already in use by port {holder.port_id}.")
