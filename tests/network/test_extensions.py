"""The list of extensions is what microversions are elsewhere: each field is one's, and each that is listed is there."""

from typing import Any

import pytest

from tests.network import answers as a
from tests.network.conftest import Api

EVERYWHERE = {
    "description": "standard-attr-description",
    "revision_number": "standard-attr-revisions",
    "created_at": "standard-attr-timestamp",
    "updated_at": "standard-attr-timestamp",
    "tags": "standard-attr-tag",
    "project_id": "project-id",
}
OF_NETWORKS = {
    "router:external": "external-net",
    "is_default": "auto-allocated-topology",
    "mtu": "net-mtu",
    "dns_domain": "dns-integration",
    "port_security_enabled": "port-security",
    "availability_zone_hints": "network_availability_zone",
    "availability_zones": "network_availability_zone",
    "qos_policy_id": "qos",
    "ipv4_address_scope": "address-scope",
    "ipv6_address_scope": "address-scope",
    "provider:network_type": "provider",
    "provider:physical_network": "provider",
    "provider:segmentation_id": "provider",
}
OF_PORTS = {
    "security_groups": "security-group",
    "port_security_enabled": "port-security",
    "allowed_address_pairs": "allowed-address-pairs",
    "dns_name": "dns-integration",
    "dns_assignment": "dns-integration",
    "qos_policy_id": "qos",
    "qos_network_policy_id": "qos-port-network-policy",
    "trunk_details": "trunk-details",
    "binding:vnic_type": "binding",
    "binding:host_id": "binding",
    "binding:profile": "binding",
    "binding:vif_details": "binding",
    "binding:vif_type": "binding",
}
OF_ROUTERS = {
    "external_gateway_info": "router",
    "routes": "extraroute",
    "availability_zone_hints": "router_availability_zone",
    "availability_zones": "router_availability_zone",
}
OF_FLOATING_IPS = {
    "port_details": "fip-port-details",
    "port_forwardings": "expose-port-forwarding-in-fip",
    "dns_name": "dns-integration",
    "dns_domain": "dns-integration",
}
OF_RULES = {
    "normalized_cidr": "security-groups-normalized-cidr",
    "remote_address_group_id": "security-groups-remote-address-group",
}
OF_FORWARDINGS = {
    "description": "floating-ip-port-forwarding-description",
    "internal_port_range": "floating-ip-port-forwarding-port-ranges",
    "external_port_range": "floating-ip-port-forwarding-port-ranges",
}
NAMED = {"id", "name", "tenant_id"}
SHAPES: dict[str, tuple[dict[str, Any], set[str], dict[str, str]]] = {
    "network": (a.NETWORK, NAMED | {"admin_state_up", "status", "subnets", "shared"}, OF_NETWORKS),
    "subnet": (
        a.SUBNET,
        NAMED
        | {"network_id", "ip_version", "cidr", "gateway_ip", "enable_dhcp", "allocation_pools", "dns_nameservers"}
        | {"host_routes", "ipv6_ra_mode", "ipv6_address_mode"},
        {"subnetpool_id": "subnet_allocation", "service_types": "subnet-service-types"},
    ),
    "port": (
        a.PORT,
        NAMED | {"network_id", "mac_address", "admin_state_up", "status", "device_id", "device_owner", "fixed_ips"},
        OF_PORTS,
    ),
    "router": (a.ROUTER, NAMED | {"admin_state_up", "status"}, OF_ROUTERS),
    "floating address": (
        a.FLOATING_IP,
        {"id", "tenant_id", "floating_network_id", "floating_ip_address", "fixed_ip_address", "port_id", "router_id"}
        | {"status"},
        OF_FLOATING_IPS,
    ),
    "security group": (
        a.GROUP,
        NAMED | {"security_group_rules"},
        {"stateful": "stateful-security-group", "shared": "security-groups-shared-filtering"},
    ),
    "rule": (
        a.RULE,
        {"id", "tenant_id", "security_group_id", "direction", "ethertype", "protocol", "port_range_min"}
        | {"port_range_max", "remote_ip_prefix", "remote_group_id"},
        OF_RULES,
    ),
    "port forwarding": (
        a.FORWARDING,
        {"id", "protocol", "internal_ip_address", "internal_port_id", "internal_port", "external_port"},
        OF_FORWARDINGS,
    ),
}
"""Resource → what an answer holds, what of it every Neutron has, and whose extension the rest is."""
ROUTES = {
    "subnet-external-network": "/subnets?router:external=True",
    "address-group": "/address-groups",
    "address-scope": "/address-scopes",
    "agent": "/agents",
    "availability_zone": "/availability_zones",
    "availability_zone_filter": "/availability_zones?resource=network",
    "default-subnetpools": "/subnetpools?is_default=true",
    "extraroute-atomic": "/routers",
    "ext-gw-mode": "/routers",
    "empty-string-filtering": "/ports?device_id=",
    "filter-validation": "/networks?name=x",
    "floating-ip-port-forwarding": "/floatingips",
    "ip-substring-filtering": "/ports?fixed_ips=ip_address_substr%3D192",
    "net-mtu-writable": "/networks?mtu=1400",
    "network-ip-availability": "/network-ip-availabilities",
    "pagination": "/networks?limit=1",
    "qos-bw-limit-direction": "/qos/rule-types",
    "qos-default": "/qos/policies?is_default=true",
    "qos-rule-type-details": "/qos/rule-types/bandwidth_limit",
    "quota-check-limit": "/quotas",
    "quota_details": "/quotas/{project}/details",
    "quotas": "/quotas/{project}",
    "rbac-address-group": "/rbac-policies?object_type=address_group",
    "rbac-address-scope": "/rbac-policies?object_type=address_scope",
    "rbac-policies": "/rbac-policies",
    "rbac-security-groups": "/rbac-policies?object_type=security_group",
    "rbac-subnetpool": "/rbac-policies?object_type=subnetpool",
    "revision-if-match": "/networks",
    "service-type": "/service-providers",
    "sorting": "/networks?sort_key=name&sort_dir=desc",
    "subnetpool-prefix-ops": "/subnetpools",
    "tag-creation": "/networks?tags=x",
    "tag-ports-during-bulk-creation": "/ports?tags=x",
    "trunk": "/trunks",
}
"""Extensions of routes, queries and headers alone: where they are asked; what they do, other tests show."""
OURS = {"kilonova-topology"}


def fields(shape: dict[str, Any]) -> set[str]:
    together = [inner.names for inner in shape.values() if hasattr(inner, "names")]
    return {name for part in [shape, *together] for name, inner in part.items() if not hasattr(inner, "names")}


@pytest.mark.parametrize("resource", SHAPES)
def test_each_field_is_an_extensions_that_is_listed(anyone: Api, resource: str) -> None:
    """The shapes are those that the contract holds every answer to."""
    shape, core, more = SHAPES[resource]
    listed = {one["alias"] for one in anyone.get("/extensions")["extensions"]}
    known = {name: alias for name, alias in EVERYWHERE.items() if name in shape} | more
    assert fields(shape) == core | known.keys()
    assert set(known.values()) <= listed


def test_each_extension_that_is_listed_is_there(anyone: Api, admin: Api) -> None:
    listed = {one["alias"] for one in anyone.get("/extensions")["extensions"]}
    of_fields = {alias for _, _, more in SHAPES.values() for alias in more.values()} | set(EVERYWHERE.values())
    assert listed == of_fields | ROUTES.keys() | OURS
    project = anyone.get("/quotas/tenant")["tenant"]["tenant_id"]
    for alias, path in ROUTES.items():
        asked = admin.http.get(path.format(project=project))
        assert asked.status_code == 200, (alias, asked.text)
        assert anyone.get(f"/extensions/{alias}")["extension"]["alias"] == alias
