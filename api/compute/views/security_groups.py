"""Security groups as the network service of Nova's own once showed them (Compute API reference, "Security groups")."""

from collections.abc import Sequence
from typing import Any

from api.compute.call import ComputeCall
from api.compute.neighbours import neighbours
from infra.openstack import NETWORK

Json = dict[str, Any]
WHOLE = {"tcp": (1, 65535), "udp": (1, 65535)}
"""Ports of a rule that names none; of other protocols it is -1 and -1."""


def groups_view(call: ComputeCall, groups: Sequence[Json]) -> list[Json]:
    """Groups with their ingress rules; a rule names the group that it admits, and is left out when that is gone."""
    names = {group["id"]: group for group in groups}
    rules = [rule for group in groups for rule in group.get("security_group_rules", ())]
    others = {rule["remote_group_id"] for rule in rules if rule.get("remote_group_id")} - names.keys()
    if others:
        names |= {group["id"]: group for group in by_id(call, others)}
    return [_group(group, names) for group in groups]


def by_id(call: ComputeCall, ids: set[str]) -> list[Json]:
    which = "&".join(f"id={id}" for id in sorted(ids))
    body = neighbours(call).get(call, NETWORK, f"/v2.0/security-groups?{which}")
    return [group for group in (body or {}).get("security_groups", []) if group["id"] in ids]


def _group(group: Json, names: dict[str, Json]) -> Json:
    ingress = [rule for rule in group.get("security_group_rules", []) if rule.get("direction") == "ingress"]
    shown = [rule for rule in ingress if not rule.get("remote_group_id") or rule["remote_group_id"] in names]
    return {
        "id": group["id"],
        "name": group["name"],
        "description": group.get("description", ""),
        "tenant_id": group.get("project_id") or group.get("tenant_id"),
        "rules": [rule_view(rule, names) for rule in shown],
    }


def rule_view(rule: Json, names: dict[str, Json]) -> Json:
    remote = names.get(rule.get("remote_group_id") or "")
    open_to = rule.get("remote_ip_prefix") or ("::/0" if rule.get("ethertype") == "IPv6" else "0.0.0.0/0")
    protocol, first, last = rule.get("protocol"), rule.get("port_range_min"), rule.get("port_range_max")
    if protocol and first is None and last is None:
        first, last = WHOLE.get(protocol, (-1, -1))
    return {
        "id": rule["id"],
        "parent_group_id": rule.get("security_group_id"),
        "ip_protocol": protocol,
        "from_port": first,
        "to_port": last,
        "group": {"name": remote["name"], "tenant_id": remote.get("project_id")} if remote else {},
        "ip_range": {} if remote else {"cidr": open_to},
    }
