"""Nova's routes as far as they are built: the status and body of success, and the names that a request may have."""

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tests.compute import answers as a
from tests.compute.contract import ANY, BOOL, INT, STR, UUID, At, By, Either, Map, May, maybe

EMPTY = None


@dataclass(frozen=True)
class Route:
    """`status`: of success. `body`: of the answer, EMPTY for none. `asked`: the request's body, where it has one."""

    method: str
    path: str
    status: int
    body: Any
    asked: Any = EMPTY

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        return re.compile(re.sub(r"\{[^}]*\}", "[^/]+", self.path))


def names(*known: str, **since: Any) -> dict[str, Any]:
    """Names that a request's object may have, of any value; `since` gives microversions: first, or (first, last)."""
    bounds = {name: span if isinstance(span, tuple) else (span, 10_000) for name, span in since.items()}
    return {name: May(ANY) for name in known} | {name: At(May(ANY), *span) for name, span in bounds.items()}


CREATE_SERVER = {
    "server": names(
        "name", "flavorRef", "imageRef", "adminPass", "metadata", "networks", "OS-DCF:diskConfig", "accessIPv4",
        "accessIPv6", "availability_zone", "block_device_mapping", "block_device_mapping_v2", "config_drive",
        "key_name", "min_count", "max_count", "return_reservation_id", "security_groups", "user_data",
        personality=(1, 56), description=19, tags=52, trusted_image_certificates=63, host=74, hypervisor_hostname=74,
        hostname=90,
    ),
    "os:scheduler_hints": May(ANY),
    "OS-SCH-HNT:scheduler_hints": May(ANY),
}  # fmt: skip
UPDATE_SERVER = {
    "server": names("name", "OS-DCF:diskConfig", "accessIPv4", "accessIPv6", description=19, hostname=90,
                    pinned_availability_zone=104)
}  # fmt: skip
CREATE_FLAVOR = {
    "flavor": names("name", "id", "ram", "vcpus", "disk", "OS-FLV-EXT-DATA:ephemeral", "swap",
                    "os-flavor-access:is_public", rxtx_factor=(1, 101), description=55)
}  # fmt: skip
CREATE_KEYPAIR = {"keypair": names("name", "public_key", type=2, user_id=10)}
ATTACH = {
    "volumeAttachment": {"volumeId": STR, "device": May(maybe(STR)), "tag": At(May(STR), 49),
                         "delete_on_termination": At(May(BOOL), 79)}
}  # fmt: skip
QUOTA_ANSWER = {"quota_set": a.QUOTAS}
SPECS = {"extra_specs": Map(STR)}
META = {"metadata": Map(STR)}

ROUTES = (
    Route("GET", "/servers", 200, {"servers": [{"id": UUID, "name": STR, "links": a.LINKS}], "servers_links": a.NEXT}),
    Route("GET", "/servers/detail", 200, {"servers": [a.DETAIL], "servers_links": a.NEXT}),
    Route("POST", "/servers", 202, {"server": May(a.CREATED), "reservation_id": May(STR)}, CREATE_SERVER),
    Route("GET", "/servers/{id}", 200, {"server": a.SERVER}),
    Route("PUT", "/servers/{id}", 200, {"server": a.UPDATED}, UPDATE_SERVER),
    Route("DELETE", "/servers/{id}", 204, EMPTY),
    Route("GET", "/servers/{id}/topology", 200, {"nodes": [ANY], "pagesize_kb": maybe(INT)}),
    Route("GET", "/servers/{id}/metadata", 200, META),
    Route("POST", "/servers/{id}/metadata", 200, META, META),
    Route("PUT", "/servers/{id}/metadata", 200, META, META),
    Route("GET", "/servers/{id}/metadata/{key}", 200, {"meta": Map(STR)}),
    Route("PUT", "/servers/{id}/metadata/{key}", 200, {"meta": Map(STR)}, {"meta": Map(STR)}),
    Route("DELETE", "/servers/{id}/metadata/{key}", 204, EMPTY),
    Route("GET", "/servers/{id}/tags", 200, {"tags": [STR]}),
    Route("PUT", "/servers/{id}/tags", 200, {"tags": [STR]}, {"tags": [STR]}),
    Route("DELETE", "/servers/{id}/tags", 204, EMPTY),
    Route("GET", "/servers/{id}/tags/{tag}", 204, EMPTY),
    Route("PUT", "/servers/{id}/tags/{tag}", 201, EMPTY),
    Route("PUT", "/servers/{id}/tags/{tag}", 204, EMPTY),
    Route("DELETE", "/servers/{id}/tags/{tag}", 204, EMPTY),
    Route("GET", "/servers/{id}/ips", 200, {"addresses": Map([a.ADDRESS])}),
    Route("GET", "/servers/{id}/ips/{label}", 200, Map([a.ADDRESS])),
    Route("GET", "/servers/{id}/os-instance-actions", 200, {"instanceActions": [a.ACTION], "links": At(a.NEXT, 58)}),
    Route("GET", "/servers/{id}/os-instance-actions/{request}", 200,
          {"instanceAction": a.ACTION | {"events": By(51, May([a.EVENT]), [a.EVENT])}}),
    Route("GET", "/servers/{id}/os-interface", 200, {"interfaceAttachments": [a.INTERFACE]}),
    Route("GET", "/servers/{id}/os-interface/{port}", 200, {"interfaceAttachment": a.INTERFACE}),
    Route("POST", "/servers/{id}/os-interface", 200, {"interfaceAttachment": a.INTERFACE},
          {"interfaceAttachment": May({"net_id": May(STR), "port_id": May(STR), "tag": At(May(STR), 49),
                                       "fixed_ips": May([{"ip_address": STR}])})}),
    Route("DELETE", "/servers/{id}/os-interface/{port}", 202, EMPTY),
    Route("GET", "/servers/{id}/os-volume_attachments", 200, {"volumeAttachments": [a.ATTACHMENT]}),
    Route("GET", "/servers/{id}/os-volume_attachments/{volume}", 200, {"volumeAttachment": a.ATTACHMENT}),
    Route("POST", "/servers/{id}/os-volume_attachments", 200, {"volumeAttachment": a.ATTACHED}, ATTACH),
    Route("POST", "/servers/{id}/os-volume_attachments", 202, EMPTY, ATTACH),
    Route("GET", "/servers/{id}/shares", 200, {"shares": [ANY]}),
    Route("PUT", "/servers/{id}/os-volume_attachments/{volume}", 202, EMPTY,
          {"volumeAttachment": {"volumeId": STR, **{name: At(May(ANY), 85) for name in (
              "id", "serverId", "device", "tag", "delete_on_termination")}}}),
    Route("DELETE", "/servers/{id}/os-volume_attachments/{volume}", 202, EMPTY),
    Route("GET", "/servers/{id}/os-security-groups", 200, {"security_groups": [a.SECURITY_GROUP]}),
    *(Route("POST", "/os-server-external-events", status, {"events": [a.EXTERNAL_EVENT | {"code": INT}]},
            {"events": [a.EXTERNAL_EVENT]}) for status in (200, 207)),
    Route("GET", "/servers/{id}/migrations", 200, {"migrations": [ANY]}),
    Route("GET", "/servers/{id}/os-server-password", 200, {"password": STR}),
    Route("DELETE", "/servers/{id}/os-server-password", 204, EMPTY),
    Route("GET", "/servers/{id}/diagnostics", 200, By(48, Map(INT), a.DIAGNOSTICS)),
    Route("POST", "/servers/{id}/remote-consoles", 200,
          {"remote_console": {"protocol": STR, "type": STR, "url": STR}},
          {"remote_console": {"protocol": STR, "type": STR}}),
    Route("GET", "/os-console-auth-tokens/{token}", 200,
          {"console": {"instance_uuid": UUID, "host": maybe(STR), "port": maybe(INT),
                       "internal_access_path": maybe(STR)}}),
    Route("GET", "/flavors", 200, {"flavors": [a.FLAVOR], "flavors_links": a.NEXT}),
    Route("GET", "/flavors/detail", 200, {"flavors": [a.FLAVOR_DETAIL], "flavors_links": a.NEXT}),
    Route("POST", "/flavors", 200, {"flavor": a.FLAVOR_DETAIL}, CREATE_FLAVOR),
    Route("GET", "/flavors/{id}", 200, {"flavor": a.FLAVOR_DETAIL}),
    Route("PUT", "/flavors/{id}", 200, {"flavor": a.FLAVOR_DETAIL}, {"flavor": {"description": maybe(STR)}}),
    Route("DELETE", "/flavors/{id}", 202, EMPTY),
    Route("GET", "/flavors/{id}/os-extra_specs", 200, SPECS),
    Route("POST", "/flavors/{id}/os-extra_specs", 200, SPECS, {"extra_specs": Map(ANY)}),
    Route("GET", "/flavors/{id}/os-extra_specs/{key}", 200, Map(STR)),
    Route("PUT", "/flavors/{id}/os-extra_specs/{key}", 200, Map(STR), Map(ANY)),
    Route("DELETE", "/flavors/{id}/os-extra_specs/{key}", 200, EMPTY),
    Route("GET", "/flavors/{id}/os-flavor-access", 200, a.ACCESS),
    Route("POST", "/flavors/{id}/action", 200, a.ACCESS,
          {"addTenantAccess": May({"tenant": STR}), "removeTenantAccess": May({"tenant": STR})}),
    Route("GET", "/os-keypairs", 200, {"keypairs": [{"keypair": a.KEYPAIR}], "keypairs_links": At(a.NEXT, 35)}),
    Route("POST", "/os-keypairs", 200, {"keypair": a.KEYPAIR_MADE}, CREATE_KEYPAIR),
    Route("POST", "/os-keypairs", 201, {"keypair": a.KEYPAIR_MADE}, CREATE_KEYPAIR),
    Route("GET", "/os-keypairs/{name}", 200, {"keypair": a.KEYPAIR_SHOWN}),
    Route("DELETE", "/os-keypairs/{name}", 202, EMPTY),
    Route("DELETE", "/os-keypairs/{name}", 204, EMPTY),
    Route("GET", "/os-services", 200, {"services": [a.SERVICE]}),
    Route("PUT", "/os-services/{id}", 200, {"service": By(53, Map(ANY), a.SERVICE)}),
    Route("DELETE", "/os-services/{id}", 204, EMPTY),
    Route("GET", "/os-hypervisors", 200, {"hypervisors": [a.HYPERVISOR], "hypervisors_links": At(a.NEXT, 33)}),
    Route("GET", "/os-hypervisors/detail", 200,
          {"hypervisors": [a.HYPERVISOR_DETAIL], "hypervisors_links": At(a.NEXT, 33)}),
    Route("GET", "/os-hypervisors/statistics", 200, {"hypervisor_statistics": a.CAPACITY | {"count": INT}}),
    Route("GET", "/os-hypervisors/{id}/uptime", 200, {"hypervisor": a.HYPERVISOR | {"uptime": STR}}),
    Route("GET", "/os-hypervisors/{id}/search", 200, {"hypervisors": [a.HYPERVISOR]}),
    Route("GET", "/os-hypervisors/{id}/servers", 200, {"hypervisors": [a.HYPERVISOR]}),
    Route("GET", "/os-hypervisors/{id}", 200, {"hypervisor": a.HYPERVISOR_DETAIL}),
    Route("GET", "/os-quota-sets/{project}", 200, {"quota_set": a.QUOTAS | {"id": STR}}),
    Route("GET", "/os-quota-sets/{project}/detail", 200, {"quota_set": a.QUOTA_DETAIL | {"id": STR}}),
    Route("GET", "/os-quota-sets/{project}/defaults", 200, {"quota_set": a.QUOTAS | {"id": STR}}),
    Route("PUT", "/os-quota-sets/{project}", 200, QUOTA_ANSWER, {"quota_set": names("force", *a.QUOTAS, "networks")}),
    Route("DELETE", "/os-quota-sets/{project}", 202, EMPTY),
    Route("GET", "/os-quota-class-sets/{name}", 200, {"quota_class_set": a.CLASS_QUOTAS | {"id": STR}}),
    Route("PUT", "/os-quota-class-sets/{name}", 200, {"quota_class_set": a.CLASS_QUOTAS},
          {"quota_class_set": names(*a.CLASS_QUOTAS)}),
    Route("GET", "/limits", 200, {"limits": {"rate": [ANY], "absolute": a.LIMITS}}),
    Route("GET", "/os-simple-tenant-usage", 200, {"tenant_usages": [a.USAGE], "tenant_usages_links": At(a.NEXT, 40)}),
    Route("GET", "/os-simple-tenant-usage/{project}", 200,
          {"tenant_usage": Either(({}, a.USAGE)), "tenant_usage_links": At(a.NEXT, 40)}),
    Route("GET", "/os-availability-zone", 200, {"availabilityZoneInfo": [a.ZONE | {"hosts": lambda v: v is None}]}),
    Route("GET", "/os-availability-zone/detail", 200, {"availabilityZoneInfo": [a.ZONE | {"hosts": maybe(Map(Map(
        {"available": BOOL, "active": BOOL, "updated_at": maybe(a.MICRO)})))}]}),
    Route("GET", "/os-hosts", 200, {"hosts": [{"host_name": STR, "service": STR, "zone": STR}]}),
    Route("GET", "/os-hosts/{host}", 200, {"host": [{"resource": {
        "host": STR, "project": STR, "cpu": INT, "memory_mb": INT, "disk_gb": INT}}]}),
    Route("GET", "/os-server-groups", 200, {"server_groups": [a.GROUP_SHAPE]}),
    Route("POST", "/os-server-groups", 200, {"server_group": a.GROUP_SHAPE},
          {"server_group": {"name": STR, "policies": At([STR], 1, 63), "policy": At(STR, 64),
                            "rules": At(May({"max_server_per_host": May(ANY)}), 64)}}),
    Route("GET", "/os-server-groups/{id}", 200, {"server_group": a.GROUP_SHAPE}),
    Route("DELETE", "/os-server-groups/{id}", 204, EMPTY),
    Route("GET", "/os-migrations", 200, {"migrations": [a.MIGRATION], "migrations_links": At(a.NEXT, 59)}),
    Route("GET", "/os-aggregates", 200, {"aggregates": [a.AGGREGATE]}),
    Route("POST", "/os-aggregates", 200, {"aggregate": a.NEW_AGGREGATE},
          {"aggregate": {"name": STR, "availability_zone": May(maybe(STR))}}),
    Route("GET", "/os-aggregates/{id}", 200, {"aggregate": a.AGGREGATE}),
    Route("PUT", "/os-aggregates/{id}", 200, {"aggregate": a.AGGREGATE},
          {"aggregate": {"name": May(STR), "availability_zone": May(STR)}}),
    Route("DELETE", "/os-aggregates/{id}", 200, EMPTY),
    Route("POST", "/os-aggregates/{id}/action", 200, {"aggregate": a.AGGREGATE},
          {"add_host": May({"host": STR}), "remove_host": May({"host": STR}),
           "set_metadata": May({"metadata": Map(maybe(STR))})}),
    Route("GET", "/images", 200, {"images": [a.OLD_IMAGE], "images_links": a.NEXT}),
    Route("GET", "/images/detail", 200, {"images": [a.OLD_IMAGE_DETAIL], "images_links": a.NEXT}),
    Route("GET", "/images/{id}", 200, {"image": a.OLD_IMAGE_DETAIL}),
    Route("DELETE", "/images/{id}", 204, EMPTY),
    Route("GET", "/images/{id}/metadata", 200, {"metadata": Map(ANY)}),
    Route("POST", "/images/{id}/metadata", 200, {"metadata": Map(ANY)}, META),
    Route("PUT", "/images/{id}/metadata", 200, META, META),
    Route("GET", "/images/{id}/metadata/{key}", 200, {"meta": Map(ANY)}),
    Route("PUT", "/images/{id}/metadata/{key}", 200, {"meta": Map(STR)}, {"meta": Map(STR)}),
    Route("DELETE", "/images/{id}/metadata/{key}", 204, EMPTY),
    Route("GET", "/os-networks", 200, {"networks": [a.OLD_NETWORK]}),
    Route("GET", "/os-networks/{id}", 200, {"network": a.OLD_NETWORK}),
    Route("GET", "/os-tenant-networks", 200, {"networks": [{"id": UUID, "cidr": STR, "label": STR}]}),
    Route("GET", "/os-tenant-networks/{id}", 200, {"network": {"id": UUID, "cidr": STR, "label": STR}}),
    Route("GET", "/os-floating-ip-pools", 200, {"floating_ip_pools": [{"name": STR}]}),
    Route("GET", "/os-floating-ips", 200, {"floating_ips": [a.OLD_FLOATING]}),
    Route("POST", "/os-floating-ips", 200, {"floating_ip": a.OLD_FLOATING}, {"pool": May(maybe(STR))}),
    Route("GET", "/os-floating-ips/{id}", 200, {"floating_ip": a.OLD_FLOATING}),
    Route("DELETE", "/os-floating-ips/{id}", 202, EMPTY),
    Route("GET", "/os-security-groups", 200, {"security_groups": [a.SECURITY_GROUP]}),
    Route("POST", "/os-security-groups", 200, {"security_group": a.SECURITY_GROUP}),
    Route("GET", "/os-security-groups/{id}", 200, {"security_group": a.SECURITY_GROUP}),
    Route("PUT", "/os-security-groups/{id}", 200, {"security_group": a.SECURITY_GROUP}),
    Route("DELETE", "/os-security-groups/{id}", 202, EMPTY),
    Route("POST", "/os-security-group-rules", 200, {"security_group_rule": a.GROUP_RULE}),
    Route("DELETE", "/os-security-group-rules/{id}", 202, EMPTY),
    Route("GET", "/extensions", 200, {"extensions": [a.EXTENSION]}),
    Route("GET", "/extensions/{alias}", 200, {"extension": a.EXTENSION}),
)  # fmt: skip

ACTIONS: dict[str, tuple[int, Any]] = {
    "os-getConsoleOutput": (200, {"output": STR}),
    "os-getSerialConsole": (200, {"console": {"type": STR, "url": STR}}),
    "os-getVNCConsole": (200, {"console": {"type": STR, "url": STR}}),
    "createImage": (202, By(45, None, {"image_id": UUID})),
    "createBackup": (202, By(45, None, {"image_id": UUID})),
    "rebuild": (202, a.REBUILT),
    "rescue": (200, {"adminPass": STR}),
    "confirmResize": (204, None),
}
"""Actions with an answer other than 202 and nothing."""
