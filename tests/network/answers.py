"""What the Networking API reference says that a successful answer holds, route by route, for the extensions that this
service lists. An object has exactly these names; `May` marks those that some callers or resources do not have."""

from typing import Any

from tests.compute.contract import (
    ANY,
    BOOL,
    INT,
    IP,
    NULL,
    PROJECT,
    SECOND,
    STR,
    UUID,
    Either,
    Map,
    May,
    Together,
    like,
    maybe,
)

CIDR = like(r"[0-9a-f.:]+/\d{1,3}")
MAC = like(r"([0-9a-f]{2}:){5}[0-9a-f]{2}")
NUMBER = like(r"\d+")
SPACED = like(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")
OWNER = {"tenant_id": PROJECT, "project_id": PROJECT}
STANDARD: dict[str, Any] = OWNER | {
    "description": STR, "revision_number": INT, "created_at": SECOND, "updated_at": SECOND,
}  # fmt: skip
TAGGED = STANDARD | {"tags": [STR]}
NETWORK = TAGGED | {
    "id": UUID, "name": STR, "admin_state_up": BOOL, "status": like("ACTIVE|DOWN|BUILD|ERROR"), "subnets": [UUID],
    "router:external": BOOL, "is_default": May(BOOL), "shared": BOOL, "mtu": INT, "dns_domain": STR,
    "port_security_enabled": BOOL, "availability_zone_hints": [STR], "availability_zones": [STR],
    "qos_policy_id": maybe(UUID), "ipv4_address_scope": maybe(UUID), "ipv6_address_scope": maybe(UUID),
    "admins": Together({
        "provider:network_type": like("flat|vxlan"), "provider:physical_network": maybe(STR),
        "provider:segmentation_id": maybe(INT),
    }),
}  # fmt: skip
MODE = maybe(like("slaac|dhcpv6-stateful|dhcpv6-stateless"))
ROUTE = {"destination": CIDR, "nexthop": IP}
SUBNET = TAGGED | {
    "id": UUID, "name": STR, "network_id": UUID, "ip_version": INT, "cidr": CIDR, "gateway_ip": maybe(IP),
    "enable_dhcp": BOOL, "allocation_pools": [{"start": IP, "end": IP}], "dns_nameservers": [IP],
    "host_routes": [ROUTE], "ipv6_ra_mode": MODE, "ipv6_address_mode": MODE, "subnetpool_id": maybe(STR),
    "service_types": [STR],
}  # fmt: skip
FIXED = {"subnet_id": UUID, "ip_address": IP}
SUBPORT = {"port_id": UUID, "segmentation_type": like("vlan|inherit"), "segmentation_id": INT}
NOBODYS = dict.fromkeys(OWNER, Either((like(""), PROJECT)))
"""A port on the outside of a router belongs to no project."""
PORT = TAGGED | NOBODYS | {
    "id": UUID, "name": STR, "network_id": UUID, "mac_address": MAC, "admin_state_up": BOOL,
    "status": like("ACTIVE|DOWN|BUILD|ERROR|N/A"), "device_id": STR, "device_owner": STR, "fixed_ips": [FIXED],
    "security_groups": [UUID], "port_security_enabled": BOOL,
    "allowed_address_pairs": [{"ip_address": like("[0-9a-f.:/]+"), "mac_address": MAC}],
    "dns_name": STR, "dns_assignment": [{"ip_address": IP, "hostname": STR, "fqdn": like(r"[^ ]+\.")}],
    "qos_policy_id": maybe(UUID), "qos_network_policy_id": maybe(UUID), "binding:vnic_type": STR,
    "trunk_details": May({"trunk_id": UUID, "sub_ports": [SUBPORT | {"mac_address": MAC}]}),
    "admins": Together({
        "binding:host_id": STR, "binding:profile": Map(ANY), "binding:vif_details": Map(ANY),
        "binding:vif_type": like("unbound|bridge|binding_failed"),
    }),
}  # fmt: skip
GATEWAY = {"network_id": UUID, "external_fixed_ips": [FIXED], "enable_snat": BOOL}
ROUTER = TAGGED | {
    "id": UUID, "name": STR, "admin_state_up": BOOL, "status": like("ACTIVE|DOWN|BUILD|ERROR"),
    "external_gateway_info": maybe(GATEWAY), "routes": [ROUTE], "availability_zone_hints": [STR],
    "availability_zones": [STR],
}  # fmt: skip
INTERFACE = OWNER | {"id": UUID, "port_id": UUID, "network_id": UUID, "subnet_id": UUID, "subnet_ids": [UUID]}
RANGE = like(r"\d+:\d+")
FORWARDING = {
    "id": UUID, "protocol": STR, "internal_ip_address": IP, "internal_port_id": UUID, "description": STR,
    "internal_port": maybe(INT), "external_port": maybe(INT),
    "internal_port_range": RANGE, "external_port_range": RANGE,
}  # fmt: skip
PORT_DETAILS = {
    "name": STR, "network_id": UUID, "mac_address": MAC, "admin_state_up": BOOL, "status": STR, "device_id": STR,
    "device_owner": STR,
}  # fmt: skip
FLOATING_IP = TAGGED | {
    "id": UUID, "floating_network_id": UUID, "floating_ip_address": IP, "fixed_ip_address": maybe(IP),
    "port_id": maybe(UUID), "router_id": maybe(UUID), "status": like("ACTIVE|DOWN|ERROR"),
    "port_details": maybe(PORT_DETAILS), "port_forwardings": [FORWARDING], "dns_name": STR, "dns_domain": STR,
}  # fmt: skip
RULE = STANDARD | {
    "id": UUID, "security_group_id": UUID, "direction": like("ingress|egress"), "ethertype": like("IPv4|IPv6"),
    "protocol": maybe(STR), "port_range_min": maybe(INT), "port_range_max": maybe(INT),
    "remote_ip_prefix": maybe(STR), "normalized_cidr": maybe(CIDR), "remote_group_id": maybe(UUID),
    "remote_address_group_id": maybe(UUID),
}  # fmt: skip
GROUP = TAGGED | {"id": UUID, "name": STR, "stateful": BOOL, "shared": BOOL, "security_group_rules": [RULE]}
ADDRESS_GROUP = STANDARD | {"id": UUID, "name": STR, "addresses": [CIDR], "shared": BOOL}
ADDRESS_SCOPE = OWNER | {"id": UUID, "name": STR, "ip_version": INT, "shared": BOOL}
POOL = TAGGED | {
    "id": UUID, "name": STR, "ip_version": INT, "prefixes": [CIDR], "default_quota": maybe(INT), "is_default": BOOL,
    "address_scope_id": maybe(UUID), "shared": BOOL, "default_prefixlen": NUMBER, "min_prefixlen": NUMBER,
    "max_prefixlen": NUMBER,
}  # fmt: skip
RBAC = OWNER | {
    "id": UUID, "object_type": STR, "object_id": UUID, "action": like("access_as_shared|access_as_external"),
    "target_tenant": STR, "target_project": STR,
}  # fmt: skip
LIMIT = {"id": UUID, "max_kbps": INT, "max_burst_kbps": INT, "direction": like("ingress|egress")}
LIMIT_INSIDE = LIMIT | {"qos_policy_id": UUID, "type": like("bandwidth_limit")}
POLICY = TAGGED | {"id": UUID, "name": STR, "shared": BOOL, "is_default": BOOL, "rules": [LIMIT_INSIDE]}
TRUNK = TAGGED | {
    "id": UUID, "name": STR, "port_id": UUID, "admin_state_up": BOOL, "sub_ports": [SUBPORT],
    "status": like("ACTIVE|DOWN|BUILD|DEGRADED|ERROR"),
}  # fmt: skip
AGENT = {
    "id": UUID, "agent_type": STR, "binary": STR, "host": STR, "topic": STR, "availability_zone": STR,
    "admin_state_up": BOOL, "alive": BOOL, "description": STR, "created_at": SPACED, "started_at": SPACED,
    "heartbeat_timestamp": SPACED, "resources_synced": maybe(BOOL), "configurations": Map(ANY),
}  # fmt: skip
SUBNET_AVAILABILITY = {
    "subnet_id": UUID, "subnet_name": STR, "cidr": CIDR, "ip_version": INT, "used_ips": INT, "total_ips": INT,
}  # fmt: skip
AVAILABILITY = OWNER | {
    "network_id": UUID, "network_name": STR, "used_ips": INT, "total_ips": INT,
    "subnet_ip_availability": [SUBNET_AVAILABILITY],
}  # fmt: skip
COUNTED = (
    "network", "subnet", "subnetpool", "port", "router", "floatingip", "rbac_policy", "security_group",
    "security_group_rule", "trunk",
)  # fmt: skip
QUOTA = dict.fromkeys(COUNTED, INT)
QUOTA_DETAILS: dict[str, Any] = {name: {"limit": INT, "used": INT, "reserved": INT} for name in COUNTED}
EXTENSION = {"alias": STR, "name": STR, "description": STR, "updated": STR, "links": [ANY]}
LINKS = [{"rel": like("self|next|previous"), "href": like("https?://[^ ]+")}]
PROVIDER = {"service_type": STR, "name": STR, "default": BOOL}
ZONE = {"name": STR, "resource": like("network|router"), "state": like("available|unavailable")}
TOPOLOGY = {"auto_allocated_topology": OWNER | {"id": like("[0-9a-f-]{36}|dry-run=pass")}}
NOTHING = NULL
