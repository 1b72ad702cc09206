"""Which addresses a port gets: asked for or chosen, and never one that another port of the subnet has."""

from collections.abc import Sequence
from ipaddress import ip_address, ip_network

from sqlmodel import Session, col, select

from api.common.errors import ServiceError
from api.network.errors import bad, conflict
from api.network.model import limits, ranges
from api.network.model.free_addresses import next_free
from api.network.schemas.ports import FixedIp
from infra.tables.network import Port, PortAddress, Subnet

INTERFACE = "network:router_interface"


def assign(session: Session, port: Port, asked: Sequence[FixedIp] | None) -> list[PortAddress]:
    """New addresses of a port, not yet added to the session. `asked` None: one of each IP version, from any subnet
    that has one left. Subnets whose hosts make their own addresses (SLAAC) give theirs to every port but routers'.

    Raises 400 for addresses and subnets that do not fit the network, 409 for those that are taken or used up."""
    query = select(Subnet).where(Subnet.network_id == port.network_id).order_by(col(Subnet.created_at), Subnet.id)
    subnets = list(session.exec(query))
    found = _any(session, subnets, port) if asked is None else _each(session, subnets, port, asked)
    if port.device_owner != INTERFACE:
        have = {address.subnet_id for address in found}
        for subnet in subnets:
            if subnet.auto_addressed and subnet.id not in have:
                found += own_address(session, subnet, port)
    return found


def own_address(session: Session, subnet: Subnet, port: Port) -> list[PortAddress]:
    """What the port's host makes of a SLAAC subnet's prefix; nothing when the port has it already."""
    address = ranges.eui64(ip_network(subnet.cidr), port.mac_address)
    holder = session.get(PortAddress, (subnet.id, address))
    if holder is not None and holder.port_id == port.id:
        return []
    return [_taken(session, subnet, address, port)]


def _any(session: Session, subnets: Sequence[Subnet], port: Port) -> list[PortAddress]:
    suited = [s for s in subnets if not s.auto_addressed and _serves(s, port.device_owner)]
    found: list[PortAddress] = []
    for version in (4, 6):
        candidates = sorted(
            (subnet for subnet in suited if subnet.ip_version == version),
            key=lambda subnet: port.device_owner not in subnet.service_types,
        )
        if not candidates:
            continue
        address = next((one for subnet in candidates if (one := _chosen(session, subnet, port, set()))), None)
        if address is None:
            raise _exhausted(port.network_id)
        found.append(address)
    return found


def _serves(subnet: Subnet, device_owner: str) -> bool:
    return not subnet.service_types or device_owner in subnet.service_types


def _each(session: Session, subnets: Sequence[Subnet], port: Port, asked: Sequence[FixedIp]) -> list[PortAddress]:
    limits.check("fixed_ips", asked)
    found: list[PortAddress] = []
    for one in sorted(asked, key=lambda fixed: fixed.ip_address is None):
        subnet = _subnet_of(subnets, one, port.network_id)
        if subnet.auto_addressed and port.device_owner != INTERFACE:
            _check_own(subnet, one, port)
            continue
        address = _taken(session, subnet, one.ip_address, port) if one.ip_address else None
        address = address or _chosen(session, subnet, port, {have.number for have in found})
        if address is None:
            raise _exhausted(port.network_id)
        if any((have.subnet_id, have.number) == (address.subnet_id, address.number) for have in found):
            raise bad(f"Duplicate IP address '{address.ip_address}'")
        found.append(address)
    return found


def _check_own(subnet: Subnet, asked: FixedIp, port: Port) -> None:
    if asked.ip_address and asked.ip_address != ranges.eui64(ip_network(subnet.cidr), port.mac_address):
        raise bad(
            f"IPv6 address {asked.ip_address} cannot be directly assigned to a port on subnet {subnet.id} as the "
            "subnet is configured for automatic addresses",
            "AllocationOnAutoAddressSubnet",
        )


def _exhausted(network_id: str) -> ServiceError:
    return conflict("IpAddressGenerationFailure", f"No more IP addresses available on network {network_id}.")


def _subnet_of(subnets: Sequence[Subnet], asked: FixedIp, network_id: str) -> Subnet:
    if asked.subnet_id:
        for subnet in subnets:
            if subnet.id == asked.subnet_id:
                return subnet
        raise bad(
            f"Failed to create port on network {network_id}, because fixed_ips included invalid subnet "
            f"{asked.subnet_id}.",
            "InvalidInput",
        )
    if asked.ip_address is None:
        raise bad("IP allocation requires subnet_id or ip_address.")
    for subnet in subnets:
        if ranges.inside(ip_network(subnet.cidr), asked.ip_address):
            return subnet
    raise bad(
        f"IP address {asked.ip_address} is not a valid IP for any of the subnets on the specified network.",
        "InvalidIpForNetwork",
    )


def _taken(session: Session, subnet: Subnet, address: str, port: Port) -> PortAddress:
    """The very address that was asked for; it need not lie in an allocation pool."""
    cidr = ip_network(subnet.cidr)
    first, last = ranges.bounds(cidr)
    if ip_address(address).version != cidr.version or not first <= int(ip_address(address)) <= last:
        raise bad(f"IP address {address} is not a valid IP for the specified subnet.", "InvalidIpForSubnet")
    if session.get(PortAddress, (subnet.id, address)):
        raise conflict("IpAddressAlreadyAllocated", f"IP address {address} already allocated in subnet {subnet.id}")
    return _address(subnet, int(ip_address(address)), port)


def _address(subnet: Subnet, number: int, port: Port) -> PortAddress:
    text = str(ranges.address(ip_network(subnet.cidr), number))
    return PortAddress(subnet_id=subnet.id, ip_address=text, number=number, port_id=port.id)


def _chosen(session: Session, subnet: Subnet, port: Port, mine: set[int]) -> PortAddress | None:
    number = next_free(session, subnet, mine)
    return None if number is None else _address(subnet, number, port)
