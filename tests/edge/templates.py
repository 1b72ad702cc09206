"""Bodies as clients send them, by service, method and the end of the route's path."""

from typing import Any

UUID = "11111111-2222-4333-8444-555555555555"
SERVER = {
    "server": {
        "name": "vm",
        "flavorRef": "tiny",
        "imageRef": UUID,
        "networks": [{"uuid": UUID, "fixed_ip": "192.0.2.5", "tag": "nic"}],
        "metadata": {"key": "value"},
        "tags": ["one"],
        "user_data": "eA==",
        "config_drive": True,
        "availability_zone": "nova",
        "security_groups": [{"name": "default"}],
        "block_device_mapping_v2": [
            {
                "source_type": "volume",
                "destination_type": "volume",
                "uuid": UUID,
                "boot_index": 0,
                "volume_size": 1,
                "delete_on_termination": True,
                "device_name": "/dev/vdb",
                "tag": "disk",
            }
        ],
        "min_count": 1,
        "max_count": 1,
        "key_name": "key",
        "accessIPv4": "192.0.2.1",
        "accessIPv6": "2001:db8::1",
        "adminPass": "secret",
        "description": "text",
        "hostname": "vm",
        "OS-DCF:diskConfig": "AUTO",
        "return_reservation_id": False,
    },
    "os:scheduler_hints": {"group": UUID, "same_host": [UUID], "query": "[]", "build_near_host_ip": "192.0.2.1"},
}
NETWORK = {"name": "n", "admin_state_up": True, "shared": False, "mtu": 1500, "port_security_enabled": True,
           "description": "d", "router:external": False, "provider:segmentation_id": 5}  # fmt: skip
SUBNET = {"network_id": UUID, "cidr": "192.0.2.0/24", "ip_version": 4, "name": "s", "gateway_ip": "192.0.2.1",
          "enable_dhcp": True, "allocation_pools": [{"start": "192.0.2.10", "end": "192.0.2.20"}],
          "dns_nameservers": ["192.0.2.53"],
          "host_routes": [{"destination": "198.51.100.0/24", "nexthop": "192.0.2.1"}]}  # fmt: skip
PORT = {"network_id": UUID, "name": "p", "mac_address": "fa:16:3e:00:00:01", "device_id": "d", "device_owner": "o",
        "fixed_ips": [{"subnet_id": UUID, "ip_address": "192.0.2.9"}], "security_groups": [UUID],
        "allowed_address_pairs": [{"ip_address": "192.0.2.0/28", "mac_address": "fa:16:3e:00:00:02"}],
        "binding:profile": {}, "binding:vnic_type": "normal", "admin_state_up": True}  # fmt: skip
RULE = {"security_group_id": UUID, "direction": "ingress", "ethertype": "IPv4", "protocol": "tcp",
        "port_range_min": 1, "port_range_max": 2, "remote_ip_prefix": "192.0.2.0/24"}  # fmt: skip
FORWARDING = {"internal_port_id": UUID, "internal_ip_address": "10.0.0.1", "internal_port": 22, "external_port": 22,
              "protocol": "tcp", "description": "d"}  # fmt: skip
SUBPORT = {"port_id": UUID, "segmentation_type": "vlan", "segmentation_id": 7}
POOL = {"name": "p", "prefixes": ["10.0.0.0/8"], "default_prefixlen": 24, "min_prefixlen": 16, "max_prefixlen": 28,
        "default_quota": 9, "address_scope_id": None}  # fmt: skip
ROUTER = {"name": "r", "admin_state_up": True, "external_gateway_info": {"network_id": UUID, "enable_snat": True}}
VOLUME = {"size": 1, "name": "v", "description": "d", "metadata": {"k": "v"}, "imageRef": UUID, "snapshot_id": UUID,
          "availability_zone": "nova", "volume_type": "nbd", "multiattach": False}  # fmt: skip

BODIES: dict[str, list[tuple[str, str, Any]]] = {
    "compute": [
        ("POST", "/servers", SERVER),
        ("PUT", "/servers/{server_id}", {"server": {"name": "a", "description": "b", "hostname": "c",
                                                    "accessIPv4": "192.0.2.1", "OS-DCF:diskConfig": "AUTO",
                                                    "pinned_availability_zone": None}}),
        ("POST", "/servers/{server_id}/action", {"os-getConsoleOutput": {"length": 5}}),
        ("POST", "/servers/{server_id}/action", {"os-resetState": {"state": "active"}}),
        ("POST", "/servers/{server_id}/action", {"lock": {"locked_reason": "x"}}),
        ("POST", "/servers/{server_id}/action", {"reboot": {"type": "SOFT"}}),
        ("POST", "/servers/{server_id}/remote-consoles", {"remote_console": {"protocol": "vnc", "type": "novnc"}}),
        ("POST", "/metadata", {"metadata": {"k": "v"}}),
        ("PUT", "/metadata", {"metadata": {"k": "v"}}),
        ("PUT", "/metadata/{key}", {"meta": {"key": "v"}}),
        ("PUT", "/tags", {"tags": ["a"]}),
        ("POST", "/os-keypairs", {"keypair": {"name": "k", "public_key": "ssh-rsa AAAA", "type": "ssh"}}),
        ("POST", "/flavors", {"flavor": {"name": "f", "ram": 1, "vcpus": 1, "disk": 1, "id": "f1", "swap": 0,
                                         "OS-FLV-EXT-DATA:ephemeral": 0, "description": "d",
                                         "os-flavor-access:is_public": True}}),
        ("PUT", "/flavors/{flavor_id}", {"flavor": {"description": "d"}}),
        ("POST", "/os-extra_specs", {"extra_specs": {"k": "v", "hw:cpu_policy": "shared", "trait:A": "required"}}),
        ("POST", "/os-server-groups", {"server_group": {"name": "g", "policy": "anti-affinity",
                                                        "rules": {"max_server_per_host": 2}}}),
        ("POST", "/os-aggregates", {"aggregate": {"name": "a", "availability_zone": "z"}}),
        ("PUT", "/os-aggregates/{aggregate_id}", {"aggregate": {"name": "b", "availability_zone": "y"}}),
        ("POST", "/os-aggregates/{aggregate_id}/action", {"add_host": {"host": "edge-host"}}),
        ("POST", "/os-aggregates/{aggregate_id}/action", {"set_metadata": {"metadata": {"k": "v", "l": None}}}),
        ("POST", "/os-aggregates/{aggregate_id}/images", {"cache": [{"id": UUID}]}),
        ("POST", "/servers/{server_id}/shares", {"share": {"share_id": UUID, "tag": "t"}}),
        ("PUT", "/os-extra_specs/{key}", {"key": "v"}),
        ("POST", "/flavors/{flavor_id}/action", {"addTenantAccess": {"tenant": "abc"}}),
        ("PUT", "/os-quota-sets/{project_id}", {"quota_set": {"cores": 5, "force": True}}),
        ("PUT", "/os-quota-class-sets/{class_name}", {"quota_class_set": {"cores": 5}}),
        ("PUT", "/os-services/{service_id}", {"status": "disabled", "disabled_reason": "r", "forced_down": False}),
        ("PUT", "/os-services/{service_id}", {"host": "h", "binary": "nova-compute", "disabled_reason": "r"}),
        ("PUT", "/hosts/{host}", {"host": {"vcpus": 1, "memory_mb": 1, "disk_gb": 1, "started_at": "2026-01-01",
                                           "hypervisor_version": 1, "facts": {"a": 1}}}),
        ("POST", "/hosts/{host}/events", {"events": [{"instance_id": UUID, "power_state": 1, "reason": "r"}]}),
    ],
    "network": [
        ("POST", "/networks", {"network": NETWORK}),
        ("PUT", "/networks/{network_id}", {"network": NETWORK}),
        ("POST", "/subnets", {"subnet": SUBNET}),
        ("PUT", "/subnets/{subnet_id}", {"subnet": {k: v for k, v in SUBNET.items() if k not in ("network_id",)}}),
        ("POST", "/ports", {"port": PORT}),
        ("PUT", "/ports/{port_id}", {"port": PORT}),
        ("POST", "/security-groups", {"security_group": {"name": "g", "description": "d"}}),
        ("PUT", "/security-groups/{group_id}", {"security_group": {"name": "g", "description": "d"}}),
        ("POST", "/security-group-rules", {"security_group_rule": RULE}),
        ("PUT", "/quotas/{project_id}", {"quota": {"network": 5, "port": 7}}),
        ("PUT", "/tags", {"tags": ["a"]}),
        ("POST", "/routers", {"router": ROUTER}),
        ("PUT", "/routers/{router_id}", {"router": {**ROUTER, "routes": [{"destination": "::/0", "nexthop": "::1"}]}}),
        ("PUT", "/add_router_interface", {"subnet_id": UUID}),
        ("PUT", "/remove_router_interface", {"port_id": UUID}),
        ("PUT", "/add_extraroutes", {"router": {"routes": [{"destination": "10.0.0.0/8", "nexthop": "10.0.0.1"}]}}),
        ("PUT", "/remove_extraroutes", {"router": {"routes": [{"destination": "10.0.0.0/8", "nexthop": "10.0.0.1"}]}}),
        ("POST", "/floatingips", {"floatingip": {"floating_network_id": UUID, "port_id": UUID}}),
        ("PUT", "/floatingips/{floatingip_id}", {"floatingip": {"port_id": UUID, "fixed_ip_address": "10.0.0.1"}}),
        ("POST", "/port_forwardings", {"port_forwarding": FORWARDING}),
        ("PUT", "/port_forwardings/{forwarding_id}", {"port_forwarding": FORWARDING}),
        ("POST", "/tags", {"tags": ["a"]}),
        ("POST", "/trunks", {"trunk": {"port_id": UUID, "sub_ports": [SUBPORT]}}),
        ("PUT", "/add_subports", {"sub_ports": [SUBPORT]}),
        ("PUT", "/remove_subports", {"sub_ports": [{"port_id": UUID}]}),
        ("POST", "/subnetpools", {"subnetpool": POOL}),
        ("PUT", "/subnetpools/{subnetpool_id}", {"subnetpool": POOL}),
        ("PUT", "/add_prefixes", {"prefixes": ["10.0.0.0/8"]}),
        ("PUT", "/remove_prefixes", {"prefixes": ["10.0.0.0/8"]}),
        ("POST", "/address-scopes", {"address_scope": {"name": "s", "ip_version": 6, "shared": False}}),
        ("POST", "/address-groups", {"address_group": {"name": "a", "addresses": ["fd00::/64"]}}),
        ("PUT", "/add_addresses", {"addresses": ["fd00::/64"]}),
        ("PUT", "/remove_addresses", {"addresses": ["fd00::/64"]}),
        ("POST", "/rbac-policies", {"rbac_policy": {"object_type": "network", "object_id": UUID,
                                                    "action": "access_as_shared", "target_tenant": "p"}}),
        ("POST", "/qos/policies", {"policy": {"name": "q", "shared": False, "is_default": False}}),
        ("POST", "/bandwidth_limit_rules", {"bandwidth_limit_rule": {"max_kbps": 1, "max_burst_kbps": 1,
                                                                     "direction": "ingress"}}),
        ("PUT", "/agents/{agent_id}", {"agent": {"admin_state_up": False, "description": "d"}}),
        ("PUT", "/hosts/{host}", {"tunnel_ip": "10.0.0.1", "bridge_mappings": {"p": "b"}, "routers": {UUID: "ACTIVE"},
                                  "floating_ips": {UUID: "ERROR"}, "ports": {UUID: "DOWN"}}),
    ],
    "placement": [
        ("POST", "/resource_providers", {"name": "n", "uuid": UUID, "parent_provider_uuid": UUID}),
        ("PUT", "/traits", {"traits": ["CUSTOM_X"], "resource_provider_generation": 1}),
        ("PUT", "/aggregates", {"aggregates": [UUID], "resource_provider_generation": 1}),
        ("PUT", "/allocations/{consumer_uuid}", {"allocations": {UUID: {"resources": {"VCPU": 1}}},
                                                 "project_id": "p", "user_id": "u", "consumer_generation": None}),
    ],
    "volume": [
        ("POST", "/volumes", {"volume": VOLUME}),
        ("PUT", "/volumes/{volume_id}", {"volume": {"name": "v", "description": "d", "metadata": {"k": "v"}}}),
        ("POST", "/volumes/{volume_id}/action", {"os-extend": {"new_size": 2}}),
        ("POST", "/volumes/{volume_id}/action", {"os-set_bootable": {"bootable": True}}),
        ("POST", "/volumes/{volume_id}/action", {"os-set_image_metadata": {"metadata": {"k": "v"}}}),
        ("POST", "/volumes/{volume_id}/action", {"os-unset_image_metadata": {"key": "k"}}),
        ("POST", "/volumes/{volume_id}/action", {"os-update_readonly_flag": {"readonly": True}}),
        ("POST", "/volumes/{volume_id}/action", {"os-reset_status": {"status": "available"}}),
        ("POST", "/volumes/{volume_id}/action",
         {"os-volume_upload_image": {"image_name": "i", "disk_format": "raw", "container_format": "bare"}}),
        ("POST", "/snapshots", {"snapshot": {"volume_id": UUID, "name": "s", "force": True, "metadata": {"k": "v"}}}),
        ("PUT", "/snapshots/{snapshot_id}", {"snapshot": {"name": "s", "description": "d"}}),
        ("POST", "/metadata", {"metadata": {"k": "v"}}),
        ("PUT", "/metadata", {"metadata": {"k": "v"}}),
        ("PUT", "/metadata/{key}", {"meta": {"key": "v"}}),
        ("POST", "/attachments", {"attachment": {"volume_uuid": UUID, "instance_uuid": UUID, "mode": "rw"}}),
        ("PUT", "/attachments/{attachment_id}", {"attachment": {"connector": {"host": "h"}}}),
        ("PUT", "/os-quota-sets/{project_id}", {"quota_set": {"volumes": 5, "gigabytes": 7}}),
        ("PUT", "/os-quota-class-sets/{name}", {"quota_class_set": {"volumes": 5}}),
    ],
}  # fmt: skip


def of(service: str, method: str, path: str, ids: dict[str, str]) -> list[Any]:
    """Templates for a route: those whose path is the end of its path, with the ids of things that are there."""
    known = ids | {"security_group_id": ids.get("group_id", UUID), "volume_uuid": ids.get("volume_id", UUID)}
    return [with_ids(body, known) for verb, end, body in BODIES[service] if verb == method and path.endswith(end)]


def with_ids(template: Any, ids: dict[str, str]) -> Any:
    if isinstance(template, dict):
        return {
            name: ids[name] if value == UUID and name in ids else with_ids(value, ids)
            for name, value in template.items()
        }
    return [with_ids(value, ids) for value in template] if isinstance(template, list) else template
