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
    "service-type": ("Neutron Service Type Management", "Who provides a network service"),
    "sorting": ("Sorting support", "Lists in an order"),
    "standard-attr-description": ("standard-attr-description", "Descriptions of resources"),
    "standard-attr-revisions": ("Resource revision numbers", "Numbers that grow with each change"),
    "standard-attr-tag": ("Tag support for resources with standard attribute", "Words stuck to resources"),
    "standard-attr-timestamp": ("Resource timestamps", "Times of creation and change"),
    "tag-creation": ("Tag creation extension", "Several tags added beside those that are there"),
    "tag-ports-during-bulk-creation": ("Tag Ports During Bulk Creation", "Tags in the body that creates a port"),
    "address-group": ("Address group", "Lists of prefixes that security group rules name"),
    "address-scope": ("Address scope", "Subnet pools whose prefixes do not overlap"),
    "agent": ("agent", "The hosts that carry the networks, as they report"),
    "auto-allocated-topology": ("Auto Allocated Topology Services", "A network and a router for those who name none"),
    "availability_zone": ("Availability Zone", "Zones that have a host"),
    "availability_zone_filter": ("Availability Zone Filter Extension", "Zones by name, resource and state"),
    "default-subnetpools": ("Default Subnetpools", "The pool of subnets that name none"),
    "dns-integration": ("DNS Integration", "Names of ports and domains of networks"),
    "expose-port-forwarding-in-fip": ("Expose Floating IP port forwardings", "Forwardings of each floating address"),
    "floating-ip-port-forwarding": ("Floating IP Port Forwarding", "Ports of a floating address that lead to guests"),
    "floating-ip-port-forwarding-description": (
        "Floating IP Port Forwarding new attribute description",
        "Descriptions of port forwardings",
    ),
    "floating-ip-port-forwarding-port-ranges": (
        "Floating IP Port Forwarding support port ranges",
        "Ranges of ports in port forwardings",
    ),
    "network-ip-availability": ("Network IP Availability", "Addresses in use, by network"),
    "network_availability_zone": ("Network Availability Zone", "Zone hints of networks"),
    "qos": ("Quality of Service", "Policies that limit the bandwidth of ports and networks"),
    "qos-bw-limit-direction": ("Direction for QoS bandwidth limit rule", "Limits of what is sent and received"),
    "qos-default": ("QoS default policy", "The policy of a project's new networks"),
    "qos-port-network-policy": ("QoS port network policy ID", "The QoS policy of a port's network"),
    "qos-rule-type-details": ("Details of QoS rule types", "Who enforces a kind of rule, and which values"),
    "quota-check-limit": ("Quota engine limit check", "No limit below what is in use, unless forced"),
    "rbac-address-group": ("Add address_group type to RBAC", "Address groups shared with projects"),
    "rbac-address-scope": ("Add address_scope type to RBAC", "Address scopes shared with projects"),
    "rbac-policies": ("RBAC Policies", "Networks and QoS policies shared with projects"),
    "rbac-security-groups": ("Add security_group type to network RBAC", "Security groups shared with projects"),
    "rbac-subnetpool": ("Add subnetpool type to RBAC", "Subnet pools shared with projects"),
    "router_availability_zone": ("Router Availability Zone", "Zone hints of routers"),
    "security-groups-remote-address-group": (
        "Remote address group id field for security group rules",
        "Rules for the prefixes of an address group",
    ),
    "security-groups-shared-filtering": ("Security group filtering on the shared field", "Groups by who shares them"),
    "stateful-security-group": ("Stateful security group", "Groups with and without connection tracking"),
    "subnet-external-network": (
        "Subnet belongs to an external network",
        "Subnets of external networks, and lists of these alone",
    ),
    "subnet-service-types": ("Subnet service types", "Subnets for ports of some device owners"),
    "subnet_allocation": ("Subnet Allocation", "Subnets out of pools of prefixes"),
    "subnetpool-prefix-ops": ("Subnet Pool Prefix Operations", "Prefixes added to pools and taken from them"),
    "trunk": ("Trunk Extension", "Ports whose guests tell the frames of further ports by VLAN tags"),
    "trunk-details": ("Trunk port details", "Trunk and subports of a parent port"),
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
    """Every extension that works."""
    return {"extensions": [_shown(alias) for alias in EXTENSIONS]}


@router.get("/{alias}")
async def show_extension(_ask: Ask, alias: str) -> Any:
    """One extension; 404 when it does not work here."""
    if alias not in EXTENSIONS:
        raise ServiceError(404, f"Extension with alias {alias} does not exist")
    return {"extension": _shown(alias)}
