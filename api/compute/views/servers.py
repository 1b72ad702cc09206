"""Servers as JSON, right at every microversion: plain dictionaries, made once per row."""

import re
from collections.abc import Callable, Iterable
from typing import Any

from sqlalchemy import RowMapping as Row

from api.compute.call import ComputeCall
from api.compute.records.extras import EXTENDED, Extras
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
PREFIX = "OS-EXT-SRV-ATTR:"


class ServerView:
    """Renders rows of `instances` for one call. Which attributes its microversion and its caller's rights give is
    worked out once."""

    def __init__(self, call: ComputeCall, extras: Extras | None = None) -> None:
        self._version = call.version
        self._base, self._root = call.url("/servers/"), call.bookmark("/servers/")
        self._images, self._flavors = call.bookmark("/images/"), call.bookmark("/flavors/")
        self._admin = call.context.is_admin
        self._extended = call.allows(EXTENDED)
        self._specs = call.since(47) and call.allows("os_compute_api:servers:show:flavor-extra-specs")
        self._extras = extras or Extras()

    def basic(self, row: Row) -> Json:
        return {"id": row["id"], "name": row["name"], "links": self.links(row["id"])}

    def links(self, server_id: str) -> list[Json]:
        return [
            {"rel": "self", "href": self._base + server_id},
            {"rel": "bookmark", "href": self._root + server_id},
        ]

    def detail(self, row: Row) -> Json:
        server = self._core(row, extended=True)
        self._add_2_1(server, row)
        self._add_later(server, row)
        return server

    def updated(self, row: Row) -> Json:
        """Answer to PUT: before 2.75 without what once came from extensions."""
        if self._version >= 75:
            return self.detail(row)
        server = self._core(row, extended=False)
        self._add_later(server, row, with_host=False)
        return server

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
            "addresses": addresses(row, extended=extended),
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
        shown: Json = {"id": image, "links": [{"rel": "bookmark", "href": self._images + image}]}
        if self._version >= 98:
            known = row["image_properties"].items()
            shown["properties"] = {name: value for name, value in known if name in STANDARD}
        return shown

    def _flavor(self, row: Row) -> Json:
        flavor = row["flavor"] or {}
        if self._version < 47:
            wanted = row["flavor_id"]
            return {"id": wanted, "links": [{"rel": "bookmark", "href": self._flavors + wanted}]}
        shown = {
            "vcpus": flavor.get("vcpus", row["vcpus"]),
            "ram": flavor.get("ram", row["memory_mb"]),
            "disk": flavor.get("disk", row["root_gb"]),
            "ephemeral": flavor.get("ephemeral", 0),
            "swap": flavor.get("swap", 0),
            "original_name": flavor.get("name", row["flavor_id"]),
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

    def _add_2_1(self, server: Json, row: Row) -> None:
        server["OS-EXT-AZ:availability_zone"] = self._extras.zones.get(row["host"]) or row["availability_zone"] or ""
        server["config_drive"] = "True" if row["config_drive"] else ""
        server["key_name"] = row["key_name"]
        server["OS-SRV-USG:launched_at"] = micro(row["launched_at"])
        server["OS-SRV-USG:terminated_at"] = micro(row["deleted_at"])
        if row["security_groups"]:
            server["security_groups"] = [{"name": name} for name in row["security_groups"]]
        server["OS-EXT-STS:task_state"] = row["task_state"]
        server["OS-EXT-STS:vm_state"] = row["vm_state"]
        server["OS-EXT-STS:power_state"] = row["power_state"]
        volumes = row["volumes"] or ()
        server["os-extended-volumes:volumes_attached"] = (
            [{"id": v["volume_id"], "delete_on_termination": bool(v.get("delete_on_termination"))} for v in volumes]
            if self._version >= 3
            else [{"id": v["volume_id"]} for v in volumes]
        )
        if self._extended:
            self._add_extended(server, row)

    def _add_extended(self, server: Json, row: Row) -> None:
        server[PREFIX + "host"] = row["host"]
        server[PREFIX + "instance_name"] = f"instance-{row['id'][:8]}"
        server[PREFIX + "hypervisor_hostname"] = row["host"]
        if self._version >= 3:
            server[PREFIX + "reservation_id"] = row["reservation_id"]
            server[PREFIX + "launch_index"] = row["launch_index"]
            server[PREFIX + "hostname"] = row["hostname"]
            server[PREFIX + "kernel_id"] = ""
            server[PREFIX + "ramdisk_id"] = ""
            server[PREFIX + "root_device_name"] = "/dev/vda"
            server[PREFIX + "user_data"] = self._extras.user_data.get(row["id"])

    def _add_later(self, server: Json, row: Row, *, with_host: bool = True) -> None:
        since = self._version
        if since >= 9:
            server["locked"] = row["locked"]
        hosts = self._extras.host_status
        if since >= 16 and with_host and hosts is not None:
            server["host_status"] = hosts.get(row["host"], "UNKNOWN") if row["host"] else ""
        if since >= 19:
            server["description"] = row["description"]
        if since >= 26:
            server["tags"] = row["tags"] or []
        if since >= 63:
            server["trusted_image_certificates"] = None
        if since >= 73:
            server["locked_reason"] = row["locked_reason"]
        if since >= 90 and with_host and not self._extended:
            server[PREFIX + "hostname"] = row["hostname"]
        if since >= 96 and with_host:
            server["pinned_availability_zone"] = row["pinned_zone"]
        if since >= 100 and with_host:
            server["scheduler_hints"] = row["scheduler_hints"]


def with_groups(call: ComputeCall, server: Json, row: Row) -> Json:
    """2.71: a single server names its server group, in a list."""
    if call.since(71):
        server["server_groups"] = [row["server_group_id"]] if row["server_group_id"] else []
    return server


def rendered(rows: Iterable[Row], render: Callable[[Row], Json]) -> list[Json]:
    return [render(row) for row in rows]
