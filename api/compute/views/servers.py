"""Servers as JSON, right at every microversion: plain dictionaries, made once per row."""

import re
from collections.abc import Callable, Iterable
from typing import Any

from sqlalchemy import RowMapping as Row

from api.compute.call import ComputeCall
from api.compute.floating import floating_of
from api.compute.records.extras import EXTENDED, Extras
from api.compute.views import shapes
from api.compute.views.shapes import PREFIX
from api.compute.views.spans import at
from api.compute.views.states import (
    WITH_FAULT,
    WITH_PROGRESS,
    addresses,
    host_id,
    micro,
    second,
    status,
)
from infra.contracts.image_properties import STANDARD

Json = dict[str, Any]


class ServerView:
    """Renders rows of `instances` for one call. Which attributes its microversion and its caller's rights give is
    worked out once."""

    def __init__(self, call: ComputeCall, extras: Extras | None = None) -> None:
        self._version = call.version
        self._base, self._root = call.url("/servers/"), call.bookmark("/servers/")
        self._images, self._flavors = call.bookmark("/images/"), call.bookmark("/flavors/")
        self._admin = call.context.is_admin
        self._extended = call.allows(EXTENDED)
        self._shape = shapes.Server if self._extended else shapes.TenantsServer
        self._specs = call.since(47) and call.allows("os_compute_api:servers:show:flavor-extra-specs")
        self._extras = extras or Extras()
        self._floating = floating_of(call)

    def basic(self, row: Row) -> Json:
        return {"id": row["id"], "name": row["name"], "links": self.links(row["id"])}

    def links(self, server_id: str) -> list[Json]:
        return [
            {"rel": "self", "href": self._base + server_id},
            {"rel": "bookmark", "href": self._root + server_id},
        ]

    def detail(self, row: Row) -> Json:
        server = self._core(row, extended=True) | self._since_2_1(row) | self._later(row) | self._placed(row)
        return at(self._version, self._shape, server)

    def updated(self, row: Row) -> Json:
        """Answer to PUT: before 2.75 without what once came from extensions."""
        if self._version >= 75:
            return self.detail(row)
        return at(self._version, self._shape, self._core(row, extended=False) | self._later(row))

    def _core(self, row: Row, *, extended: bool) -> Json:
        shown = "DELETED" if row["deleted_at"] else status(row["vm_state"], row["task_state"])
        server: Json = {
            "id": row["id"],
            "name": row["name"],
            "status": shown,
            "tenant_id": row["project_id"],
            "user_id": row["user_id"],
            "metadata": row["server_metadata"] or {},
            "hostId": host_id(row["host"], row["project_id"]),
            "image": self._image(row) if row["image_ref"] else "",
            "flavor": self._flavor(row),
            "created": second(row["created_at"]),
            "updated": second(row["updated_at"]),
            "addresses": addresses(row, self._floating, extended=extended, ports=self._extras.ports),
            "accessIPv4": row["access_ip_v4"] or "",
            "accessIPv6": row["access_ip_v6"] or "",
            "links": self.links(row["id"]),
            "OS-DCF:diskConfig": row["disk_config"],
        }
        if row["fault"] and shown in WITH_FAULT:
            server["fault"] = self._fault(row["fault"])
        if shown in WITH_PROGRESS:
            server["progress"] = row["progress"]
        return server

    def _image(self, row: Row) -> Json:
        image = row["image_ref"]
        return {
            "id": image,
            "links": [{"rel": "bookmark", "href": self._images + image}],
            "properties": {name: value for name, value in row["image_properties"].items() if name in STANDARD},
        }

    def _flavor(self, row: Row) -> Json:
        flavor, wanted = row["flavor"] or {}, row["flavor_id"]
        shown = {
            "id": wanted,
            "links": [{"rel": "bookmark", "href": self._flavors + wanted}],
            "vcpus": flavor.get("vcpus", row["vcpus"]),
            "ram": flavor.get("ram", row["memory_mb"]),
            "disk": flavor.get("disk", row["root_gb"]),
            "ephemeral": flavor.get("ephemeral", 0),
            "swap": flavor.get("swap", 0),
            "original_name": flavor.get("name", wanted),
        }
        if self._specs:
            shown["extra_specs"] = flavor.get("extra_specs") or {}
        return shown

    def _fault(self, fault: Json) -> Json:
        message = str(fault.get("message", ""))
        for host in self._extras.hosts:
            message = re.sub(rf"(?<![\w.-]){re.escape(host)}(?![\w-])", "its host", message)
        shown = {"code": fault.get("code", 500), "created": fault.get("created"), "message": message}
        if fault.get("details") and self._admin:
            shown["details"] = fault["details"]
        return shown

    def _since_2_1(self, row: Row) -> Json:
        volumes = row["volumes"] or ()
        server: Json = {
            "OS-EXT-AZ:availability_zone": self._extras.zones.get(row["host"]) or row["availability_zone"] or "",
            "config_drive": "True" if row["config_drive"] else "",
            "key_name": row["key_name"],
            "OS-SRV-USG:launched_at": micro(row["launched_at"]),
            "OS-SRV-USG:terminated_at": micro(row["deleted_at"]),
            "OS-EXT-STS:task_state": row["task_state"],
            "OS-EXT-STS:vm_state": row["vm_state"],
            "OS-EXT-STS:power_state": row["power_state"],
            "os-extended-volumes:volumes_attached": [
                {"id": v["volume_id"], "delete_on_termination": bool(v.get("delete_on_termination"))} for v in volumes
            ],
            PREFIX + "hostname": row["hostname"],
        }
        if groups := self._extras.groups.get(row["id"], row["security_groups"]):
            server["security_groups"] = [{"name": name} for name in groups]
        return server | (self._for_admins(row) if self._extended else {})

    def _for_admins(self, row: Row) -> Json:
        return {
            PREFIX + "host": row["host"],
            PREFIX + "instance_name": f"instance-{row['id'][:8]}",
            PREFIX + "hypervisor_hostname": row["host"],
            PREFIX + "reservation_id": row["reservation_id"],
            PREFIX + "launch_index": row["launch_index"],
            PREFIX + "kernel_id": "",
            PREFIX + "ramdisk_id": "",
            PREFIX + "root_device_name": "/dev/vda",
            PREFIX + "user_data": self._extras.user_data.get(row["id"]),
        }

    def _later(self, row: Row) -> Json:
        return {
            "locked": row["locked"],
            "description": row["description"],
            "tags": row["tags"] or [],
            "trusted_image_certificates": row["trusted_certificates"],
            "locked_reason": row["locked_reason"],
        }

    def _placed(self, row: Row) -> Json:
        hosts = self._extras.host_status
        state = {} if hosts is None else {"host_status": hosts.get(row["host"], "UNKNOWN") if row["host"] else ""}
        return {"pinned_availability_zone": row["pinned_zone"], "scheduler_hints": row["scheduler_hints"], **state}


def with_groups(call: ComputeCall, server: Json, row: Row) -> Json:
    """A single server names its server group, in a list."""
    groups = [row["server_group_id"]] if row["server_group_id"] else []
    return at(call.version, shapes.Server, server | {"server_groups": groups})


def rendered(rows: Iterable[Row], render: Callable[[Row], Json]) -> list[Json]:
    return [render(row) for row in rows]
