"""How many of each a resource may hold. Quotas, which are a project's and may be changed, are in quotas.py."""

from collections.abc import Sized
from typing import NamedTuple

from api.network.errors import bad


class Limit(NamedTuple):
    """`words` may name `{id}`, the resource's, and `{most}`."""

    most: int
    kind: str
    words: str


def _ours(most: int, what: str) -> Limit:
    return Limit(most, "InvalidInput", f"Invalid input for operation: more than {{most}} {what}.")


LIMITS = {
    # Neutron's options max_dns_nameservers, max_subnet_host_routes, max_routes, max_allowed_address_pair,
    # max_fixed_ips_per_port, and its constants for tags and for the column of binding:profile.
    "dns_nameservers": Limit(
        5,
        "DNSNameServersExhausted",
        "Unable to complete operation for {id}. The number of DNS nameservers exceeds the limit {most}.",
    ),
    "host_routes": Limit(
        20,
        "HostRoutesExhausted",
        "Unable to complete operation for {id}. The number of host routes exceeds the limit {most}.",
    ),
    "routes": Limit(
        30,
        "RoutesExhausted",
        "Unable to complete operation for {id}. The number of routes exceeds the maximum {most}.",
    ),
    "allowed_address_pairs": Limit(
        10, "AllowedAddressPairExhausted", "The number of allowed address pair exceeds the maximum {most}."
    ),
    "fixed_ips": Limit(5, "InvalidInput", "Exceeded maximum amount of fixed ips per port."),
    "tags": Limit(50, "BadRequest", "Bad {id} request: The number of tags exceed the per-resource limit of {most}."),
    "binding:profile": Limit(4095, "InvalidInput", "Invalid input for operation: binding:profile value too large."),
    # Neutron leaves these open; a row of ours is one JSON column, which each host and each list reads.
    "allocation_pools": _ours(100, "allocation pools"),
    "service_types": _ours(50, "service types"),
    "availability_zone_hints": _ours(20, "availability zone hints"),
    "security_groups": _ours(50, "security groups of a port"),
    "port_forwardings": _ours(60, "port forwardings of a floating address"),
    "addresses": _ours(500, "addresses in an address group"),
    "prefixes": _ours(200, "prefixes in a subnet pool"),
}


def check(name: str, values: Sized, resource: str = "") -> None:
    """400 in the limit's own words when `values` are more than one resource may hold."""
    limit = LIMITS[name]
    if len(values) > limit.most:
        raise bad(limit.words.format(id=resource, most=limit.most), limit.kind)
