"""What Nova's API reference says that a successful answer holds, route by route (Compute API, by microversion)."""

from typing import Any

from tests.compute.contract import (
    ANY,
    BOOL,
    INT,
    IP,
    LINK,
    MICRO,
    NULL,
    NUMBER,
    PROJECT,
    SECOND,
    STR,
    UUID,
    At,
    By,
    Either,
    Map,
    May,
    Together,
    like,
    maybe,
)  # fmt: skip

LINKS = [LINK]
NEXT = May([{"rel": like("next"), "href": STR}])
ADDRESS = {"addr": IP, "version": INT}
ADDRESS_EXTENDED = ADDRESS | {"OS-EXT-IPS:type": like("fixed|floating"), "OS-EXT-IPS-MAC:mac_addr": STR}
IMAGE_PROPERTIES = Map(maybe(STR))
IMAGE = Either((like(""), {"id": STR, "links": LINKS, "properties": At(IMAGE_PROPERTIES, 98)}))
FLAVOR_INSIDE = {
    "vcpus": INT, "ram": INT, "disk": INT, "ephemeral": INT, "swap": INT, "original_name": STR,
    "extra_specs": May(Map(STR)),
}  # fmt: skip
FAULT = {"code": INT, "created": SECOND, "message": STR, "details": May(STR)}
PREFIX = "OS-EXT-SRV-ATTR:"
ADMINS = {
    PREFIX + "host": maybe(STR),
    PREFIX + "instance_name": STR,
    PREFIX + "hypervisor_hostname": maybe(STR),
    **{PREFIX + name: At(STR, 3) for name in ("reservation_id", "kernel_id", "ramdisk_id", "root_device_name")},
    PREFIX + "launch_index": At(INT, 3),
    PREFIX + "user_data": At(maybe(STR), 3),
}
CORE: dict[str, Any] = {
    "id": UUID, "name": STR, "status": like("[A-Z_]+"), "tenant_id": PROJECT, "user_id": STR, "metadata": Map(STR),
    "hostId": like("[0-9a-f]{56}|"), "image": IMAGE,
    "flavor": By(47, {"id": STR, "links": LINKS}, FLAVOR_INSIDE),
    "created": SECOND, "updated": SECOND, "accessIPv4": STR, "accessIPv6": STR, "links": LINKS,
    "OS-DCF:diskConfig": like("AUTO|MANUAL"), "fault": May(FAULT), "progress": May(INT),
    "locked": At(BOOL, 9), "description": At(maybe(STR), 19), "tags": At([STR], 26),
    "trusted_image_certificates": At(maybe([STR]), 63), "locked_reason": At(maybe(STR), 73),
}  # fmt: skip
EXTENSIONS: dict[str, Any] = {
    "OS-EXT-AZ:availability_zone": STR, "config_drive": like("True|"), "key_name": maybe(STR),
    "OS-SRV-USG:launched_at": maybe(MICRO), "OS-SRV-USG:terminated_at": maybe(MICRO),
    "security_groups": May([{"name": STR}]), "OS-EXT-STS:task_state": maybe(STR), "OS-EXT-STS:vm_state": STR,
    "OS-EXT-STS:power_state": INT,
    "os-extended-volumes:volumes_attached": [{"id": UUID, "delete_on_termination": At(BOOL, 3)}],
}  # fmt: skip
DETAIL: dict[str, Any] = CORE | EXTENSIONS | {
    "addresses": Map([ADDRESS_EXTENDED]),
    "admins": Together(ADMINS),
    PREFIX + "hostname": By(90, May(STR), STR),
    "host_status": At(May(like("UP|DOWN|UNKNOWN|MAINTENANCE|")), 16),
    "pinned_availability_zone": At(maybe(STR), 96),
    "scheduler_hints": At(Map([ANY]), 100),
}  # fmt: skip
SERVER = DETAIL | {"server_groups": At([STR], 71)}
OLD_UPDATED = CORE | {"addresses": Map([ADDRESS]), "server_groups": At([STR], 71)}
UPDATED = By(75, OLD_UPDATED, SERVER)
TOLD = {"adminPass": May(STR), "user_data": At(maybe(STR), 57)}
WITHOUT_DATA = Together({name: shape for name, shape in ADMINS.items() if name != PREFIX + "user_data"})
ANEW = SERVER | TOLD | {"admins": WITHOUT_DATA}
REBUILT = {"server": By(75, OLD_UPDATED | TOLD | {"key_name": At(maybe(STR), 54)}, ANEW)}
CREATED = {
    "id": UUID, "links": LINKS, "OS-DCF:diskConfig": like("AUTO|MANUAL"), "security_groups": May([{"name": STR}]),
    "adminPass": May(STR),
}  # fmt: skip
FLAVOR = {"id": STR, "name": STR, "links": LINKS, "description": At(maybe(STR), 55)}
FLAVOR_DETAIL = FLAVOR | {
    "ram": INT, "disk": INT, "swap": By(75, Either((INT, like(""))), INT), "OS-FLV-EXT-DATA:ephemeral": INT,
    "OS-FLV-DISABLED:disabled": At(BOOL, 1, 101), "vcpus": INT, "os-flavor-access:is_public": BOOL,
    "rxtx_factor": At(NUMBER, 1, 101), "extra_specs": At(May(Map(STR)), 61),
}  # fmt: skip
KEYPAIR = {"name": STR, "public_key": STR, "fingerprint": STR, "type": At(like("ssh|x509"), 2)}
KEYPAIR_SHOWN = KEYPAIR | {
    "user_id": STR, "id": INT, "created_at": MICRO, "deleted": BOOL, "deleted_at": NULL, "updated_at": NULL,
}  # fmt: skip
KEYPAIR_MADE = KEYPAIR | {"user_id": STR, "private_key": At(May(STR), 1, 91)}
SERVICE_ID = By(53, INT, UUID)
SERVICE = {
    "binary": STR, "host": STR, "id": SERVICE_ID, "zone": STR, "status": like("enabled|disabled"),
    "state": like("up|down"), "updated_at": maybe(MICRO), "disabled_reason": maybe(STR), "forced_down": At(BOOL, 11),
}  # fmt: skip
HYPERVISOR = {
    "id": SERVICE_ID, "hypervisor_hostname": STR, "state": like("up|down"), "status": like("enabled|disabled"),
    "servers": May([{"name": STR, "uuid": UUID}]),
}  # fmt: skip
CAPACITY = {
    "vcpus": INT, "memory_mb": INT, "local_gb": INT, "vcpus_used": INT, "memory_mb_used": INT, "local_gb_used": INT,
    "free_ram_mb": INT, "free_disk_gb": INT, "running_vms": INT, "disk_available_least": INT, "current_workload": INT,
}  # fmt: skip
HYPERVISOR_DETAIL = HYPERVISOR | {name: At(part, 1, 87) for name, part in CAPACITY.items()} | {
    "hypervisor_type": STR, "hypervisor_version": INT, "host_ip": STR,
    "service": {"id": SERVICE_ID, "host": STR, "disabled_reason": maybe(STR)},
    "cpu_info": At(By(28, STR, Map(ANY)), 1, 87), "uptime": At(maybe(STR), 88),
}  # fmt: skip
ACTION = {
    "action": STR, "instance_uuid": UUID, "request_id": like("req-.+"), "user_id": maybe(STR), "project_id": maybe(STR),
    "start_time": MICRO, "message": maybe(STR), "updated_at": At(MICRO, 58),
}  # fmt: skip
EVENT = {
    "event": STR, "start_time": MICRO, "finish_time": maybe(MICRO), "result": maybe(STR), "traceback": May(maybe(STR)),
    "hostId": At(STR, 62), "host": At(May(maybe(STR)), 62), "details": At(May(maybe(STR)), 84),
}  # fmt: skip
QUOTAS = {
    "instances": INT, "cores": INT, "ram": INT, "metadata_items": INT, "key_pairs": INT, "server_groups": INT,
    "server_group_members": INT,
    **{name: At(INT, 1, 35) for name in ("fixed_ips", "floating_ips", "security_groups", "security_group_rules")},
    **{name: At(INT, 1, 56) for name in ("injected_files", "injected_file_content_bytes",
                                         "injected_file_path_bytes")},
}  # fmt: skip
CLASS_QUOTAS = QUOTAS | {
    **{name: At(INT, 1, 49) for name in ("fixed_ips", "floating_ips", "security_groups", "security_group_rules")},
    **{name: At(INT, 50) for name in ("server_groups", "server_group_members")},
}
IN_USE = {"limit": INT, "in_use": INT, "reserved": INT}
QUOTA_DETAIL = {
    name: At(IN_USE, part.since, part.until) if isinstance(part, At) else IN_USE for name, part in QUOTAS.items()
}
LIMITS = {
    "maxTotalRAMSize": INT, "maxTotalInstances": INT, "maxTotalCores": INT, "maxTotalKeypairs": INT,
    "maxServerMeta": INT, "maxServerGroups": INT, "maxServerGroupMembers": INT, "totalRAMUsed": INT,
    "totalCoresUsed": INT, "totalInstancesUsed": INT, "totalServerGroupsUsed": INT, "maxImageMeta": At(INT, 1, 38),
    **{name: At(INT, 1, 35) for name in ("maxTotalFloatingIps", "maxSecurityGroups", "maxSecurityGroupRules",
                                         "totalFloatingIpsUsed", "totalSecurityGroupsUsed")},
    **{name: At(INT, 1, 56) for name in ("maxPersonality", "maxPersonalitySize")},
}  # fmt: skip
ATTACHMENT = {
    "volumeId": UUID, "serverId": UUID, "device": May(maybe(STR)), "id": At(UUID, 1, 88), "tag": At(maybe(STR), 70),
    "delete_on_termination": At(BOOL, 79), "attachment_id": At(maybe(STR), 89), "bdm_uuid": At(UUID, 89),
}  # fmt: skip
COUNTS = {
    f"{way}_{word}": maybe(INT) for way in ("rx", "tx") for word in ("octets", "packets", "errors", "drop", "rate")
}
DIAGNOSTICS = {
    "state": like("pending|running|paused|shutdown|crashed|suspended"), "driver": STR, "hypervisor": maybe(STR),
    "hypervisor_os": maybe(STR), "uptime": maybe(INT), "config_drive": BOOL,
    **dict.fromkeys(("num_cpus", "num_disks", "num_nics"), INT),
    "memory_details": {"maximum": maybe(INT), "used": maybe(INT)},
    "cpu_details": [{"id": maybe(INT), "time": maybe(INT), "utilisation": maybe(INT)}],
    "disk_details": [dict.fromkeys(
        ("read_bytes", "read_requests", "write_bytes", "write_requests", "errors_count"), maybe(INT))],
    "nic_details": [{"mac_address": maybe(STR), **COUNTS}],
}  # fmt: skip
MIGRATION = {
    **dict.fromkeys(("status", "source_compute", "source_node", "dest_compute", "dest_node"), STR),
    **dict.fromkeys(("id", "old_instance_type_id", "new_instance_type_id"), INT),
    "dest_host": maybe(STR), "instance_uuid": UUID, "created_at": MICRO, "updated_at": maybe(MICRO),
    "migration_type": At(STR, 23), "uuid": At(UUID, 59), "user_id": At(STR, 80), "project_id": At(STR, 80),
}  # fmt: skip
ATTACHED = {
    "id": UUID,
    "volumeId": UUID,
    "serverId": UUID,
    "device": maybe(STR),
    "tag": At(maybe(STR), 70),
    "delete_on_termination": At(BOOL, 79),
}
EXTERNAL_EVENT = {"name": STR, "server_uuid": UUID, "status": May(STR), "tag": May(STR)}
INTERFACE = {
    "net_id": UUID, "port_id": UUID, "mac_addr": STR, "port_state": STR,
    "fixed_ips": [{"ip_address": IP, "subnet_id": UUID}], "tag": At(maybe(STR), 70),
}  # fmt: skip
USAGE = {
    **dict.fromkeys(("total_local_gb_usage", "total_vcpus_usage", "total_memory_mb_usage", "total_hours"), NUMBER),
    "tenant_id": STR, "start": MICRO, "stop": MICRO,
    "server_usages": May([{
        "hours": NUMBER, "flavor": STR, "instance_id": UUID, "name": STR, "tenant_id": STR, "memory_mb": INT,
        "local_gb": INT, "vcpus": INT, "started_at": MICRO, "ended_at": maybe(MICRO), "state": STR, "uptime": INT,
    }]),
}  # fmt: skip
OLD_LINKS = [Either((LINK, {"rel": like("alternate"), "type": STR, "href": like("https?://[^ ]+")}))]
OLD_IMAGE = {"id": STR, "name": maybe(STR), "links": OLD_LINKS}
OLD_IMAGE_DETAIL = OLD_IMAGE | {
    "minRam": INT, "minDisk": INT, "metadata": Map(ANY), "created": SECOND, "updated": SECOND, "progress": INT,
    "status": like("ACTIVE|SAVING|DELETED|ERROR|UNKNOWN"), "OS-EXT-IMG-SIZE:size": INT,
    "server": May({"id": UUID, "links": LINKS}), "OS-DCF:diskConfig": May(like("AUTO|MANUAL")),
}  # fmt: skip
OLD_NETWORK = {"id": UUID, "label": STR} | dict.fromkeys(
    ("cidr", "netmask", "gateway", "broadcast", "dns1", "dns2", "cidr_v6", "gateway_v6", "netmask_v6"), NULL
) | {"admins": Together(dict.fromkeys(
    ("created_at", "updated_at", "deleted_at", "deleted", "injected", "bridge", "vlan", "vpn_public_address",
     "vpn_public_port", "vpn_private_address", "dhcp_start", "project_id", "host", "bridge_interface", "multi_host",
     "priority", "rxtx_base", "mtu", "dhcp_server", "enable_dhcp", "share_address"), NULL))}  # fmt: skip
OLD_FLOATING = {"id": UUID, "ip": IP, "fixed_ip": maybe(IP), "instance_id": maybe(STR), "pool": STR}
GROUP_SHAPE = {
    "id": UUID, "name": STR, "members": [UUID], "project_id": At(STR, 13), "user_id": At(STR, 13),
    "policies": At([like("(soft-)?(anti-)?affinity")], 1, 63), "metadata": At({}, 1, 63),
    "policy": At(like("(soft-)?(anti-)?affinity"), 64), "rules": At({"max_server_per_host": May(INT)}, 64),
}  # fmt: skip
NEW_AGGREGATE = {
    "id": INT, "name": STR, "availability_zone": maybe(STR), "created_at": MICRO, "updated_at": maybe(MICRO),
    "deleted": BOOL, "deleted_at": NULL, "uuid": At(UUID, 41),
}  # fmt: skip
AGGREGATE = NEW_AGGREGATE | {"hosts": [STR], "metadata": Map(STR)}
ZONE = {"zoneName": STR, "zoneState": {"available": BOOL}}
ACCESS = {"flavor_access": [{"flavor_id": STR, "tenant_id": STR}]}
EXTENSION = {"alias": STR, "name": STR, "description": STR, "links": [ANY], "namespace": STR, "updated": STR}
GROUP_RULE = {
    "id": UUID, "parent_group_id": UUID, "ip_protocol": maybe(STR), "from_port": maybe(INT), "to_port": maybe(INT),
    "group": Either(({}, {"name": STR, "tenant_id": STR})), "ip_range": Either(({}, {"cidr": STR})),
}  # fmt: skip
SECURITY_GROUP = {"id": UUID, "name": STR, "description": STR, "tenant_id": STR, "rules": [GROUP_RULE]}
