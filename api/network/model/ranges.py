"""Arithmetic of subnets: prefixes, gateways and allocation pools that make sense, and those that do not."""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, ip_network
from itertools import pairwise

from api.common.errors import ServiceError
from api.network.errors import bad, conflict, invalid

Pools = list[dict[str, str]]
"""Allocation pools as the API shows them: `{"start", "end"}`, both ends included."""


def subnet_cidr(ip_version: int, text: str | None, enable_dhcp: bool) -> IPv4Network:
    """The subnet's prefix; 400 unless it is a usable IPv4 prefix without host bits."""
    if ip_version == 6:
        raise invalid("IPv6 subnets are not supported by this network service")
    if ip_version != 4:
        raise bad(f"Invalid input for ip_version. Reason: '{ip_version}' is not in [4, 6].")
    if text is None:
        raise invalid("a cidr is required, there are no subnet pools")
    try:
        cidr = ip_network(text, strict=False)
    except ValueError:
        raise bad(f"Invalid input for cidr. Reason: '{text}' is not a valid IP subnet.") from None
    if not isinstance(cidr, IPv4Network):
        raise invalid("IPv6 subnets are not supported by this network service")
    if str(cidr) != text:
        raise bad(
            f"Invalid input for cidr. Reason: '{text}' isn't a recognized IP subnet cidr, '{cidr}' is recommended."
        )
    if cidr.prefixlen == 0 or cidr.is_multicast or cidr.is_loopback or int(cidr.network_address) >> 24 == 0:
        raise invalid(f"'{cidr}' cannot be a subnet of hosts")
    if enable_dhcp and cidr.prefixlen > 30:
        raise invalid("Subnet has a prefix length that is incompatible with DHCP service enabled")
    return cidr


def check_overlap(cidr: IPv4Network, network_id: str, others: Iterable[str]) -> None:
    for other in others:
        if cidr.overlaps(IPv4Network(other)):
            raise invalid(f"Requested subnet with cidr: {cidr} for network: {network_id} overlaps with another subnet")


def bounds(cidr: IPv4Network) -> tuple[int, int]:
    """First and last address that a host may have."""
    first, last = int(cidr.network_address), int(cidr.broadcast_address)
    return (first, last) if cidr.prefixlen > 30 else (first + 1, last - 1)


def default_gateway(cidr: IPv4Network) -> str:
    return str(IPv4Address(bounds(cidr)[0]))


def check_gateway(cidr: IPv4Network, gateway: str | None) -> None:
    first, last = bounds(cidr)
    if gateway is not None and not first <= int(IPv4Address(gateway)) <= last:
        raise invalid(f"Gateway {gateway} is not valid on subnet {cidr}")


def default_pools(cidr: IPv4Network, gateway: str | None) -> Pools:
    """Every host address but the gateway's."""
    first, last = bounds(cidr)
    if gateway is None:
        spans = [(first, last)]
    else:
        hole = int(IPv4Address(gateway))
        spans = [(first, hole - 1), (hole + 1, last)]
    return [{"start": str(IPv4Address(a)), "end": str(IPv4Address(b))} for a, b in spans if a <= b]


def spans(pools: Pools) -> list[tuple[int, int]]:
    """Pools as integers, in the order of their addresses."""
    return sorted((int(IPv4Address(pool["start"])), int(IPv4Address(pool["end"]))) for pool in pools)


def checked_pools(cidr: IPv4Network, gateway: str | None, pools: Pools) -> Pools:
    """`pools` if they lie within the subnet, apart from each other and from the gateway; Neutron's errors otherwise."""
    first, last = bounds(cidr)
    for pool in pools:
        start, end = int(IPv4Address(pool["start"])), int(IPv4Address(pool["end"]))
        if start > end:
            raise bad(f"The allocation pool {_text(start, end)} is not valid.", "InvalidAllocationPool")
        if start < first or end > last:
            raise _out_of_bounds(start, end, cidr)
        if gateway is not None and start <= int(IPv4Address(gateway)) <= end:
            raise conflict(
                "GatewayConflictWithAllocationPools",
                f"Gateway ip {gateway} conflicts with allocation pool {_text(start, end)}.",
            )
    ordered = spans(pools)
    for one, two in pairwise(ordered):
        if two[0] <= one[1]:
            raise conflict(
                "OverlappingAllocationPools",
                f"Found overlapping allocation pools: {_text(*one)} {_text(*two)} for subnet {cidr}.",
            )
    return pools


def _text(start: int, end: int) -> str:
    return f"{IPv4Address(start)}-{IPv4Address(end)}"


def _out_of_bounds(start: int, end: int, cidr: IPv4Network) -> ServiceError:
    words = f"The allocation pool {_text(start, end)} spans beyond the subnet cidr {cidr}."
    return bad(words, "OutOfBoundsAllocationPool")
