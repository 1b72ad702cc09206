"""Default rules of the network service, under Neutron's names; STATE/policy/network.yaml overrides them."""

PRIVILEGED = "rule:admin_or_service"
SERVICE_USER = "rule:admin_or_service_user"
THAT_HOST = "rule:admin_required or rule:control_plane or rule:this_host"
MEMBER = "rule:admin_or_service_user or (role:member and rule:owner)"
NETWORK_MEMBER = "rule:admin_or_service_user or (role:member and rule:network_owner)"
PORT_MEMBER = "rule:admin_or_service or (role:member and rule:owner)"  # compute hosts write ports, and nothing else
PORT_NETWORK_MEMBER = "rule:admin_or_service or (role:member and rule:network_owner)"
PORT_NETWORK_MANAGER = "rule:admin_or_service or (role:manager and rule:network_owner)"

_PORT = {
    "mac_address": PORT_NETWORK_MEMBER,
    "fixed_ips:ip_address": PORT_NETWORK_MEMBER,
    "port_security_enabled": PORT_NETWORK_MEMBER,
    "allowed_address_pairs": PORT_NETWORK_MEMBER,
    "device_owner:network": PORT_NETWORK_MEMBER,
    "binding:host_id": PRIVILEGED,
    "binding:profile": PRIVILEGED,
    "status": PRIVILEGED,
    "id": PRIVILEGED,
}
_NETWORK = dict.fromkeys(
    (
        "shared",
        "is_default",
        "router:external",
        "provider:network_type",
        "provider:physical_network",
        "provider:segmentation_id",
        "segments",
    ),
    "rule:admin_required",
)

DEFAULTS = {
    "network_owner": "project_id:%(network:project_id)s",
    "sees_all_projects": PRIVILEGED,
    "lists_all_projects": SERVICE_USER,  # a compute host sees what it can name
    "acts_for_other_projects": PRIVILEGED,
    "create_network": MEMBER,
    "update_network": MEMBER,
    "delete_network": MEMBER,
    **{f"{verb}_network:{attribute}": rule for verb in ("create", "update") for attribute, rule in _NETWORK.items()},
    "create_subnet": NETWORK_MEMBER,
    "update_subnet": NETWORK_MEMBER,
    "delete_subnet": NETWORK_MEMBER,
    "create_port": PORT_MEMBER,
    "create_port:on_external_network": PRIVILEGED,
    "update_port": PORT_MEMBER,
    "delete_port": f"{PORT_MEMBER} or (role:member and rule:network_owner)",
    **{f"{verb}_port:{attribute}": rule for verb in ("create", "update") for attribute, rule in _PORT.items()},
    "update_port:mac_address": PORT_NETWORK_MANAGER,
    "create_router": MEMBER,
    "update_router": MEMBER,
    "delete_router": MEMBER,
    "add_router_interface": MEMBER,
    "remove_router_interface": MEMBER,
    "add_extraroutes": MEMBER,
    "remove_extraroutes": MEMBER,
    **{
        f"{verb}_router:external_gateway_info:{attribute}": SERVICE_USER
        for verb in ("create", "update")
        for attribute in ("enable_snat", "external_fixed_ips")
    },
    "create_floatingip": MEMBER,
    "create_floatingip:floating_ip_address": SERVICE_USER,
    "update_floatingip": MEMBER,
    "delete_floatingip": MEMBER,
    "create_security_group": MEMBER,
    "update_security_group": MEMBER,
    "delete_security_group": MEMBER,
    "delete_security_group:default": "rule:admin_required",
    "create_security_group_rule": MEMBER,
    "delete_security_group_rule": MEMBER,
    "get_quota": "rule:admin_or_service_user or rule:owner",
    "list_quotas": "rule:admin_required",
    "update_quota": "rule:admin_required",
    "delete_quota": "rule:admin_required",
    "get_agent": "rule:admin_required",
    "get_rule_type": "rule:admin_required",
    "update_agent": "rule:admin_required",
    "delete_agent": "rule:admin_required",
    "get_auto_allocated_topology": "rule:admin_required",
    "get_network_ip_availability": "rule:admin_required",
    **{
        f"{verb}_{name}": MEMBER
        for verb in ("create", "update", "delete")
        for name in ("rbac_policy", "address_group", "subnetpool", "address_scope", "trunk")
    },
    **{f"{verb}_floatingip_port_forwarding": MEMBER for verb in ("create", "update", "delete")},
    **{f"{verb}_policy": "rule:admin_required" for verb in ("create", "update", "delete")},
    **{f"{verb}_rbac_policy:target_tenant": "rule:admin_required" for verb in ("create", "update")},
    "create_rbac_policy:external": "rule:admin_required",
    **{
        f"{verb}_{name}:shared": "rule:admin_required"
        for verb in ("create", "update")
        for name in ("subnetpool", "address_scope")
    },
    **{f"{verb}_subnetpool:is_default": "rule:admin_required" for verb in ("create", "update")},
    "add_prefixes": MEMBER,
    "remove_prefixes": MEMBER,
    "add_subports": MEMBER,
    "remove_subports": MEMBER,
    "get_topology": THAT_HOST,
    "report_host": THAT_HOST,
}
"""Rule name -> oslo.policy expression. Target keys: `project_id` (the resource's) and `network:project_id`."""
