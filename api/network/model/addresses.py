"""Which addresses a port gets: asked for or chosen, and never one that another port of the subnet has."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network

from sqlalchemy import func, update
from sqlmodel import Session, col, select

from api.common.errors import ServiceError
from api.network.errors import bad, conflict
from api.network.model import ranges
from api.network.schemas.ports import FixedIp
from infra.tables.network import PortAddress, Subnet

WINDOW = 64
MAX_PER_PORT = 5


def assign(session: Session, network_id: str, port_id: str, asked: Sequence[FixedIp] | None) -> list[PortAddress]:
    """New addresses of a port, not yet added to the session. `asked` None: one, from any subnet that has one left.

    Raises 400 for addresses and subnets that do not fit the network, 409 for those that are taken or used up."""
    subnets = list(
        session.exec(select(Subnet).where(Subnet.network_id == network_id).order_by(col(Subnet.created_at), Subnet.id))
    )
    if asked is None:
        return [_any(session, subnets, network_id, port_id)] if subnets else []
    check_count(asked)
    found: list[PortAddress] = []
    for one in sorted(asked, key=lambda fixed: fixed.ip_address is None):
        subnet = _subnet_of(subnets, one, network_id)
        address = _taken(session, subnet, one.ip_address, port_id) if one.ip_address else None
        address = address or _chosen(session, subnet, port_id, {have.number for have in found})
        if address is None:
            raise _exhausted(network_id)
        if any((have.subnet_id, have.number) == (address.subnet_id, address.number) for have in found):
            raise bad(f"Duplicate IP address '{address.ip_address}'")
        found.append(address)
    return found


def check_count(asked: Sequence[FixedIp]) -> None:
    if len(asked) > MAX_PER_PORT:
        raise bad("Exceeded maximum amount of fixed ips per port.", "InvalidInput")


def _exhausted(network_id: str) -> ServiceError:
    return conflict("IpAddressGenerationFailure", f"No more IP addresses available on network {network_id}.")


def _any(session: Session, subnets: Sequence[Subnet], network_id: str, port_id: str) -> PortAddress:
    for subnet in subnets:
        if address := _chosen(session, subnet, port_id, set()):
            return address
    raise _exhausted(network_id)


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
        if IPv4Address(asked.ip_address) in IPv4Network(subnet.cidr):
            return subnet
    raise bad(
        f"IP address {asked.ip_address} is not a valid IP for any of the subnets on the specified network.",
        "InvalidIpForNetwork",
    )


def _taken(session: Session, subnet: Subnet, ip_address: str, port_id: str) -> PortAddress:
    """The very address that was asked for; it need not lie in an allocation pool."""
    first, last = ranges.bounds(IPv4Network(subnet.cidr))
    if not first <= int(IPv4Address(ip_address)) <= last:
        raise bad(f"IP address {ip_address} is not a valid IP for the specified subnet.", "InvalidIpForSubnet")
    if session.get(PortAddress, (subnet.id, ip_address)):
        raise conflict("IpAddressAlreadyAllocated", f"IP address {ip_address} already allocated in subnet {subnet.id}")
    return _address(subnet, int(IPv4Address(ip_address)), port_id)


def _address(subnet: Subnet, number: int, port_id: str) -> PortAddress:
    return PortAddress(subnet_id=subnet.id, ip_address=str(IPv4Address(number)), number=number, port_id=port_id)


def _chosen(session: Session, subnet: Subnet, port_id: str, mine: set[int]) -> PortAddress | None:
    """The next free address behind the one chosen last, around the pools: a freed one is used again as late as can
    be. None when all are in use. `mine` are addresses chosen for the same port a moment ago."""
    spans = ranges.spans(subnet.allocation_pools)
    begin = subnet.next_number
    ahead = [(max(first, begin), last) for first, last in spans if last >= begin]
    behind = [(first, min(last, begin - 1)) for first, last in spans if first < begin]
    for first, last in ahead + behind:
        number = _first_free(session, subnet.id, first, last, mine)
        if number is not None:
            session.exec(update(Subnet).where(col(Subnet.id) == subnet.id).values(next_number=number + 1))
            return _address(subnet, number, port_id)
    return None


def _first_free(session: Session, subnet_id: str, first: int, last: int, mine: set[int]) -> int | None:
    """Smallest free number in first..last. Full stretches are counted by the database, not read, so that a pool of
    any size costs one short query while it has room, and one pass over its index when it has none."""
    size = WINDOW
    while first <= last:
        end = min(first + size - 1, last)
        if size == WINDOW or _count(session, subnet_id, first, end) < end - first + 1:
            while end - first >= WINDOW:
                middle = (first + end) // 2
                if _count(session, subnet_id, first, middle) == middle - first + 1:
                    first = middle + 1
                else:
                    end = middle
            inside = col(PortAddress.number).between(first, end)
            query = select(PortAddress.number).where(PortAddress.subnet_id == subnet_id, inside)
            used = mine | set(session.exec(query))
            if (free := next((n for n in range(first, end + 1) if n not in used), None)) is not None:
                return free
        first, size = end + 1, size * 4
    return None


def _count(session: Session, subnet_id: str, first: int, last: int) -> int:
    inside = col(PortAddress.number).between(first, last)
    query = select(func.count()).select_from(PortAddress)
    return session.exec(query.where(col(PortAddress.subnet_id) == subnet_id, inside)).one()
