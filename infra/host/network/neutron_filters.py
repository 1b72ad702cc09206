"""Filters of one host's ports from Neutron's own API, for a network service without our route for them.

Source: Networking API v2.0, ports, security group rules, address groups."""

from collections.abc import Iterable, Iterator
from typing import Any

from infra.host.services.rest import Service, Unexpected

AT_ONCE = 50
"""Ids in one query: Neutron's WSGI server takes URLs of 8 KiB."""
PORT = ("id", "mac_address", "fixed_ips", "network_id", "device_id", "port_security_enabled", "allowed_address_pairs")
Body = dict[str, Any]


def of_host(api: Service, host: str) -> list[Body]:
    """Every port bound to `host`, shaped as the ports of the embedded service's topology.

    A rule's `remote_ips`: None is anywhere; an empty list matches nothing. Three requests where no rule names a
    remote group or address group, and no group is without rules. Unexpected when a port's group is not shown."""
    fields = [*PORT, "security_groups"]
    ports = api.ask("GET", "/ports", params={"binding:host_id": host, "fields": fields}).json()["ports"]
    groups = sorted({group for port in ports for group in port["security_groups"]})
    rules = list(_where(api, "security-group-rules", "security_group_id", groups))
    remote = _members(api, {rule["remote_group_id"] for rule in rules if rule.get("remote_group_id")})
    remote |= _addresses(
        api, {rule["remote_address_group_id"] for rule in rules if rule.get("remote_address_group_id")}
    )
    by_group: dict[str, list[Body]] = {group: [] for group in groups}
    for rule in rules:
        by_group[rule["security_group_id"]].append(_rule(rule, remote))
    _must_be_seen(api, [group for group, some in by_group.items() if not some])
    return [
        {
            **{name: port[name] for name in PORT if name in port},
            "rules": [rule for group in port["security_groups"] for rule in by_group[group]]
            if port.get("port_security_enabled", True)
            else [],
        }
        for port in ports
    ]


def _must_be_seen(api: Service, groups: list[str]) -> None:
    """Groups without rules are either that, or kept from this user, who then does not know what to put in force."""
    seen = {group["id"] for group in _where(api, "security-groups", "id", groups, fields=["id"])}
    if hidden := set(groups) - seen:
        raise Unexpected(f"The network service does not show this host security group {min(hidden)} of its ports.")


def _where(api: Service, kind: str, name: str, wanted: Iterable[str], **more: Any) -> Iterator[Body]:
    """Everything of `kind` whose `name` is one of `wanted`."""
    ids = sorted(wanted)
    for start in range(0, len(ids), AT_ONCE):
        params = {name: ids[start : start + AT_ONCE], **more}
        yield from api.ask("GET", f"/{kind}", params=params).json()[kind.replace("-", "_")]


def _members(api: Service, groups: set[str]) -> dict[str, list[str]]:
    """Addresses of each group's ports, allowed address pairs included, as prefixes."""
    found: dict[str, set[str]] = {group: set() for group in groups}
    fields = ["id", "fixed_ips", "allowed_address_pairs", "security_groups"]
    for port in _where(api, "ports", "security_groups", groups, fields=fields):
        addresses = [each["ip_address"] for each in [*port["fixed_ips"], *port.get("allowed_address_pairs", [])]]
        for group in groups.intersection(port["security_groups"]):
            found[group].update(_prefix(address) for address in addresses)
    return {group: sorted(some) for group, some in found.items()}


def _addresses(api: Service, groups: set[str]) -> dict[str, list[str]]:
    return {group["id"]: group["addresses"] for group in _where(api, "address-groups", "id", groups)}


def _rule(rule: Body, remote: dict[str, list[str]]) -> Body:
    named = rule.get("remote_group_id") or rule.get("remote_address_group_id")
    remote_ips: list[str] | None = None
    if named:
        version = "." if rule["ethertype"] == "IPv4" else ":"
        remote_ips = [prefix for prefix in remote.get(named, []) if version in prefix]
    elif rule.get("remote_ip_prefix"):
        remote_ips = [rule["remote_ip_prefix"]]
    kept = ("direction", "ethertype", "protocol", "port_range_min", "port_range_max")
    return {**{name: rule[name] for name in kept}, "remote_ips": remote_ips}


def _prefix(address: str) -> str:
    return address if "/" in address else f"{address}/{32 if '.' in address else 128}"
