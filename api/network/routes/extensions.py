"""Extensions of Neutron's API that this service has; one that is not listed does not work."""

from typing import Any

from fastapi import APIRouter

from api.common.errors import ServiceError
from api.network.ask import Ask

router = APIRouter(prefix="/v2.0/extensions")
EXTENSIONS = {
    "allowed-address-pairs": ("Allowed Address Pairs", "Further addresses that a port may use"),
    "binding": ("Port Binding", "The host that a port is on, and how it is plugged there"),
    "empty-string-filtering": ("Empty String Filtering Extension", "Filters that match empty attributes"),
    "external-net": ("Neutron external network", "Networks that lead outside"),
    "ext-gw-mode": ("Neutron L3 Configurable external gateway mode", "Routers with and without SNAT"),
    "extraroute": ("Neutron Extra Route", "Static routes of routers"),
    "extraroute-atomic": ("Atomically add/remove extra routes", "Static routes that several writers change"),
    "filter-validation": ("Filter parameters validation", "Unknown filters are refused"),
    "ip-substring-filtering": ("IP address substring filtering", "Ports by a part of their address"),
    "fip-port-details": ("Floating IP Port Details Extension", "The port that a floating address leads to"),
    "kilonova-topology": ("Kilonova topology", "All that a host must carry in one answer; ids and status of ports"),
    "net-mtu": ("Network MTU", "The largest packet of a network"),
    "net-mtu-writable": ("Network MTU (writable)", "MTU that network owners set"),
    "pagination": ("Pagination support", "Lists in pages"),
    "port-security": ("Port Security", "Ports without filters and anti-spoofing"),
    "project-id": ("project_id field enabled", "project_id beside tenant_id"),
    "provider": ("Provider Network", "Networks mapped to physical ones"),
    "quota_details": ("Quota details management support", "Quotas with what is used"),
    "quotas": ("Quota management support", "Limits of each project"),
    "revision-if-match": ("If-Match constraints based on revision_number", "Changes only of a known revision"),
    "router": ("Neutron L3 Router", "Routers and floating addresses"),
    "security-group": ("security-group", "Security groups and their rules"),
    "security-groups-normalized-cidr": ("Normalized CIDR field for security group rules", "Prefixes without host bits"),
    "sorting": ("Sorting support", "Lists in an order"),
    "standard-attr-description": ("standard-attr-description", "Descriptions of resources"),
    "standard-attr-revisions": ("Resource revision numbers", "Numbers that grow with each change"),
    "standard-attr-tag": ("Tag support for resources with standard attribute", "Words stuck to resources"),
    "standard-attr-timestamp": ("Resource timestamps", "Times of creation and change"),
    "tag-ports-during-bulk-creation": ("Tag Ports During Bulk Creation", "Tags in the body that creates a port"),
}
"""Alias -> name as Neutron has it, and what it is for."""


def _shown(alias: str) -> dict[str, Any]:
    name, description = EXTENSIONS[alias]
    return {
        "alias": alias,
        "name": name,
        "description": description,
        "updated": "2025-01-01T00:00:00-00:00",
        "links": [],
    }


@router.get("")
async def list_extensions(_ask: Ask) -> Any:
    return {"extensions": [_shown(alias) for alias in EXTENSIONS]}


@router.get("/{alias}")
async def show_extension(_ask: Ask, alias: str) -> Any:
    if alias not in EXTENSIONS:
        raise ServiceError(404, f"Extension with alias {alias} does not exist")
    return {"extension": _shown(alias)}
