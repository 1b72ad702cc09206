"""Arithmetic of subnets: prefixes, gateways and allocation pools that make sense, and those that do not."""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from itertools import pairwise

from api.common.errors import ServiceError
from api.network.errors import bad, conflict, invalid

Address = IPv4Address | IPv6Address
Cidr = IPv4Network | IPv6Network
Pools = list[dict[str, str]]
"""Allocation pools as the API shows them: `{"start", "end"}`, both ends included."""
LONGEST = {4: 30, 6: 126}
"""Longest prefix in which DHCP has an address to give."""


def subnet_cidr(ip_version: int, text: str, enable_dhcp: bool) -> Cidr:
    """The subnet's prefix; 400 unless hosts can have addresses of it. Host bits are dropped, as Neutron drops them."""
    try:
        cidr = ip_network(text, strict=False)
    except ValueError:
        raise bad(f"Invalid input for cidr. Reason: '{text}' is not a valid IP subnet.") from None
    if cidr.version != ip_version:
        raise invalid(f"cidr '{text}' does not match the ip_version '{ip_version}'")
    if cidr.prefixlen == 0:
        raise invalid("0 is not allowed as CIDR prefix length")
    if cidr.version == 6 and int(cidr.network_address) == 0:
        raise invalid("IPv6 subnet '::' is not supported")
    if enable_dhcp:
        _check_dhcp(cidr)
    return cidr


def _check_dhcp(cidr: Cidr) -> None:
    if cidr.prefixlen > LONGEST[cidr.version]:
        raise invalid("Subnet has a prefix length that is incompatible with DHCP service enabled")
    if cidr.is_multicast:
        raise invalid("Multicast IP subnet is not supported if enable_dhcp is True")
    if cidr.is_loopback:
        raise invalid("Loopback IP subnet is not supported if enable_dhcp is True")
    if cidr.version == 4 and int(cidr.network_address) == 0:
        raise invalid("First IP '0.0.0.0' of network is not supported if enable_dhcp is True.")


def check_overlap(cidr: Cidr, network_id: str, others: Iterable[str]) -> None:
    for text in others:
        other = ip_network(text)
        if cidr.version == other.version and cidr.overlaps(other):
            raise invalid(f"Requested subnet with cidr: {cidr} for network: {network_id} overlaps with another subnet")


def bounds(cidr: Cidr) -> tuple[int, int]:
    """First and last address that a host may have. IPv6 has no broadcast, but an anycast address of routers."""
    first, last = int(cidr.network_address), int(cidr.broadcast_address)
    if cidr.version == 6:
        return (first, last) if cidr.prefixlen > 126 else (first + 1, last)
    return (first, last) if cidr.prefixlen > 30 else (first + 1, last - 1)


def address(cidr: Cidr, number: int) -> Address:
    """`number` as an address of the prefix's IP version."""
    return IPv4Address(number) if cidr.version == 4 else IPv6Address(number)


def inside(cidr: Cidr, text: str) -> bool:
    """Whether the address lies in the prefix; false for one of the other IP version."""
    return ip_address(text) in cidr


def default_gateway(cidr: Cidr) -> str:
    return str(address(cidr, bounds(cidr)[0]))


def check_gateway(cidr: Cidr, gateway: str | None) -> None:
    """A gateway outside the subnet may be right (RFC 3442, link-local ones); its network's own address is not."""
    if gateway is None:
        return
    given = ip_address(gateway)
    if given.version != cidr.version:
        raise invalid(f"gateway_ip '{gateway}' does not match the ip_version '{cidr.version}'")
    if cidr.version == 4 and given in cidr and cidr.prefixlen < 31:
        first, last = bounds(cidr)
        if not first <= int(given) <= last:
            raise invalid("Gateway is not valid on subnet")


def default_pools(cidr: Cidr, gateway: str | None) -> Pools:
    """Every host address but the gateway's."""
    first, last = bounds(cidr)
    if gateway is None or not inside(cidr, gateway):
        spans = [(first, last)]
    else:
        hole = int(ip_address(gateway))
        spans = [(first, hole - 1), (hole + 1, last)]
    return [{"start": str(address(cidr, a)), "end": str(address(cidr, b))} for a, b in spans if a <= b]


def spans(pools: Pools) -> list[tuple[int, int]]:
    """Pools as integers, in the order of their addresses."""
    return sorted((int(ip_address(pool["start"])), int(ip_address(pool["end"]))) for pool in pools)


def checked_pools(cidr: Cidr, gateway: str | None, pools: Pools) -> Pools:
    """`pools` if they lie within the subnet, apart from each other and from the gateway; Neutron's errors otherwise."""
    first, last = bounds(cidr)
    for pool in pools:
        start, end = ip_address(pool["start"]), ip_address(pool["end"])
        if start.version != end.version or int(start) > int(end):
            raise bad(f"The allocation pool {start}-{end} is not valid.", "InvalidAllocationPool")
        if start.version != cidr.version or int(start) < first or int(end) > last:
            raise _out_of_bounds(start, end, cidr)
        if gateway is not None and inside(cidr, gateway) and int(start) <= int(ip_address(gateway)) <= int(end):
            raise conflict(
                "GatewayConflictWithAllocationPools",
                f"Gateway ip {gateway} conflicts with allocation pool {start}-{end}.",
            )
    for one, two in pairwise(spans(pools)):
        if two[0] <= one[1]:
            raise conflict(
                "OverlappingAllocationPools",
                f"Found overlapping allocation pools: {_text(cidr, one)} {_text(cidr, two)} for subnet {cidr}.",
            )
    return pools


def _text(cidr: Cidr, span: tuple[int, int]) -> str:
    return f"{address(cidr, span[0])}-{address(cidr, span[1])}"


def _out_of_bounds(start: Address, end: Address, cidr: Cidr) -> ServiceError:
    words = f"The allocation pool {start}-{end} spans beyond the subnet cidr {cidr}."
    return bad(words, "OutOfBoundsAllocationPool")


def eui64(cidr: Cidr, mac_address: str) -> str:
    """The address that a host makes of the /64 prefix and its MAC address (RFC 4291, appendix A)."""
    octets = bytes.fromhex(mac_address.replace(":", ""))
    identifier = bytes([octets[0] ^ 2]) + octets[1:3] + b"\xff\xfe" + octets[3:]
    return str(IPv6Address(int(cidr.network_address) | int.from_bytes(identifier)))
