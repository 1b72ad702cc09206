"""Cinder's routes: what a successful answer holds, and what the request may have held. Source: Block Storage API v3."""

import re
from dataclasses import dataclass
from typing import Any

from tests.volume import contract as c
from tests.volume.contract import At, Map, May, of_list

NOTHING = None
OURS = {"id": May(c.MAYBE_UUID), "project_id": May(c.TEXT), "user_id": May(c.TEXT)}
"""What this service takes beside Cinder's fields, from services and administrators: ids chosen beforehand."""


@dataclass(frozen=True)
class Route:
    """`body`: of the answer (None: empty). `asked`: of the request (None: no schema of its own)."""

    method: str
    path: str
    status: int
    body: Any
    asked: Any = None
    since: c.Version = (3, 0)

    def matches(self, method: str, path: str) -> bool:
        pattern = re.sub(r"\{[^}]*\}", "[^/]+", self.path)
        return method == self.method and re.fullmatch(pattern, path) is not None


NAMES = {name: May(c.TEXT) for name in ("name", "description", "display_name", "display_description")}
METADATA = May(lambda v: v is None or isinstance(v, dict))
FLAG = May(lambda v: v is None or isinstance(v, bool | str))
CREATE = NAMES | {
    "size": May(lambda v: v is None or isinstance(v, int | str)),
    "volume_type": May(c.TEXT),
    "metadata": METADATA,
    "snapshot_id": May(c.MAYBE_UUID),
    "source_volid": May(c.MAYBE_UUID),
    "consistencygroup_id": May(c.MAYBE_UUID),
    "availability_zone": May(c.TEXT),
    "multiattach": FLAG,
    "image_id": May(c.TEXT),
    "imageRef": May(c.TEXT),
    "group_id": May(c.TEXT),
    "backup_id": May(c.TEXT),
}
SNAPSHOT = {
    "volume_id": c.UUID,
    "name": May(c.TEXT),
    "display_name": May(c.TEXT),
    "description": May(c.TEXT),
    "force": FLAG,
    "metadata": METADATA,
}
ATTACH = {
    "volume_uuid": c.UUID,
    "instance_uuid": May(c.MAYBE_UUID),
    "connector": METADATA,
    "mode": At((3, 54), May(c.TEXT)),
}
META, SPECS = {"metadata": Map(c.STR)}, {"extra_specs": Map(c.STR)}
QUOTA, QUOTA_USE = Map(c.INT), Map({"limit": c.INT, "in_use": c.INT, "reserved": c.INT})


def quota_set(value: Any) -> bool:
    """Limits, or limits with what is used; with the project's id in what is read."""
    rest = {name: item for name, item in value.items() if name != "id"} if isinstance(value, dict) else None
    return not c.problems(QUOTA, rest, (3, 0)) or not c.problems(QUOTA_USE, rest, (3, 0))


def volumes() -> list[Route]:
    one, change = "/volumes/{id}", {"volume": NAMES | {"metadata": METADATA}}
    summary = {"total_size": c.INT, "total_count": c.INT, "metadata": At((3, 36), Map([c.STR]))}
    hinted = {"volume": CREATE | OURS, "OS-SCH-HNT:scheduler_hints": METADATA}
    return [
        Route("POST", "/volumes", 202, {"volume": c.NEW_VOLUME}, hinted),
        Route("GET", "/volumes", 200, of_list("volumes", c.VOLUME_SUMMARY, count=True)),
        Route("GET", "/volumes/detail", 200, of_list("volumes", c.VOLUME, count=True)),
        Route("GET", "/volumes/summary", 200, {"volume-summary": summary}, since=(3, 12)),
        Route("GET", one, 200, {"volume": c.VOLUME}),
        Route("PUT", one, 200, {"volume": c.NEW_VOLUME}, change),
        Route("DELETE", one, 202, NOTHING),
        Route("GET", f"{one}/encryption", 200, {"encryption_key_id": c.MAYBE_UUID}),
    ]


ACTIONS: dict[str, tuple[int, Any, c.Version]] = {
    "os-extend": (202, NOTHING, (3, 0)),
    "os-reset_status": (202, NOTHING, (3, 0)),
    "os-force_delete": (202, NOTHING, (3, 0)),
    "os-set_bootable": (200, NOTHING, (3, 0)),
    "os-update_readonly_flag": (202, NOTHING, (3, 0)),
    "os-set_image_metadata": (200, META, (3, 0)),
    "os-unset_image_metadata": (200, NOTHING, (3, 0)),
    "os-show_image_metadata": (200, META, (3, 0)),
    "os-reserve": (202, NOTHING, (3, 0)),
    "os-unreserve": (202, NOTHING, (3, 0)),
    "os-begin_detaching": (202, NOTHING, (3, 0)),
    "os-roll_detaching": (202, NOTHING, (3, 0)),
    "os-attach": (202, NOTHING, (3, 0)),
    "os-detach": (202, NOTHING, (3, 0)),
    "os-force_detach": (202, NOTHING, (3, 0)),
    "os-initialize_connection": (200, {"connection_info": c.kind(dict)}, (3, 0)),
    "os-terminate_connection": (202, NOTHING, (3, 0)),
    "os-retype": (202, NOTHING, (3, 0)),
    "os-volume_upload_image": (202, {"os-volume_upload_image": c.UPLOADED}, (3, 0)),
    "revert": (202, NOTHING, (3, 40)),
    "os-reimage": (202, NOTHING, (3, 68)),
}


def metadata(kind: str) -> list[Route]:
    place = f"/{kind}/{{id}}/metadata"
    one = {"meta": Map(c.STR)}
    return [
        Route("GET", place, 200, META),
        Route("POST", place, 200, META, META),
        Route("PUT", place, 200, META, META),
        Route("GET", f"{place}/{{key}}", 200, one),
        Route("PUT", f"{place}/{{key}}", 200, one, one),
        Route("DELETE", f"{place}/{{key}}", 200, NOTHING),
    ]


def snapshots() -> list[Route]:
    one = "/snapshots/{id}"
    return [
        Route("POST", "/snapshots", 202, {"snapshot": c.NEW_SNAPSHOT}, {"snapshot": SNAPSHOT | OURS}),
        Route("GET", "/snapshots", 200, of_list("snapshots", c.SNAPSHOT_SUMMARY, count=True)),
        Route("GET", "/snapshots/detail", 200, of_list("snapshots", c.SNAPSHOT, count=True)),
        Route("GET", one, 200, {"snapshot": c.SNAPSHOT}),
        Route("PUT", one, 200, {"snapshot": c.NEW_SNAPSHOT}, {"snapshot": NAMES}),
        Route("DELETE", one, 202, NOTHING),
        Route("POST", f"{one}/action", 202, NOTHING),
    ]


def attachments() -> list[Route]:
    one, connected = "/attachments/{id}", {"attachment": {"connector": c.kind(dict)}}
    asked = {"attachment": ATTACH | {"id": May(c.MAYBE_UUID)}}
    return [
        Route("POST", "/attachments", 200, {"attachment": c.ATTACHMENT}, asked, (3, 27)),
        Route("GET", "/attachments", 200, {"attachments": [c.ATTACHMENT_SUMMARY]}, since=(3, 27)),
        Route("GET", "/attachments/detail", 200, {"attachments": [c.ATTACHMENT]}, since=(3, 27)),
        Route("GET", one, 200, {"attachment": c.ATTACHMENT}, since=(3, 27)),
        Route("PUT", one, 200, {"attachment": c.ATTACHMENT}, connected, (3, 27)),
        Route("DELETE", one, 200, {"attachments": [c.ATTACHMENT_SUMMARY]}, since=(3, 27)),
        Route("POST", f"{one}/action", 204, NOTHING, {"os-complete": lambda v: True}, (3, 44)),
    ]


def transfers(place: str, since: c.Version) -> list[Route]:
    one, made = f"{place}/{{id}}", c.TRANSFER | {"auth_key": c.STR}
    asked = {"volume_id": c.UUID, "name": May(c.TEXT), "no_snapshots": At((3, 55), FLAG)}
    key = {"accept": {"auth_key": c.kind(str, int)}}
    return [
        Route("POST", place, 202, {"transfer": made}, {"transfer": asked}, since),
        Route("GET", place, 200, of_list("transfers", c.TRANSFER_SUMMARY), since=since),
        Route("GET", f"{place}/detail", 200, of_list("transfers", c.TRANSFER), since=since),
        Route("GET", one, 200, {"transfer": c.TRANSFER}, since=since),
        Route("DELETE", one, 202, NOTHING, since=since),
        Route("POST", f"{one}/accept", 202, {"transfer": c.TRANSFER_SUMMARY}, key, since),
    ]


def types() -> list[Route]:
    one, specs = "/types/{id}", "/types/{id}/extra_specs"
    default, project = {"default_type": c.DEFAULT_TYPE}, "/default-types/{project}"
    new = {
        "name": c.STR,
        "description": May(c.TEXT),
        "extra_specs": METADATA,
        "os-volume-type-access:is_public": FLAG,
    }
    changed = {"name": May(c.TEXT), "description": May(c.TEXT), "is_public": FLAG}
    access = {"volume_type_access": [c.DEFAULT_TYPE]}
    return [
        Route("GET", "/types", 200, of_list("volume_types", c.TYPE, links="volume_type_links")),
        Route("POST", "/types", 200, {"volume_type": c.TYPE_MADE}, {"volume_type": new}),
        Route("GET", "/types/default", 200, {"volume_type": c.TYPE}),
        Route("GET", one, 200, {"volume_type": c.TYPE}),
        Route("PUT", one, 200, {"volume_type": c.TYPE_CHANGED}, {"volume_type": changed}),
        Route("DELETE", one, 202, NOTHING),
        Route("GET", f"{one}/os-volume-type-access", 200, access),
        Route("POST", f"{one}/action", 202, NOTHING),
        Route("GET", f"{one}/encryption", 200, {}),
        Route("GET", specs, 200, SPECS),
        Route("POST", specs, 200, SPECS, SPECS),
        Route("GET", f"{specs}/{{key}}", 200, Map(c.STR)),
        Route("PUT", f"{specs}/{{key}}", 200, Map(c.STR), Map(c.STR)),
        Route("DELETE", f"{specs}/{{key}}", 202, NOTHING),
        Route("GET", "/default-types", 200, {"default_types": [c.DEFAULT_TYPE]}, since=(3, 62)),
        Route("GET", project, 200, default, since=(3, 62)),
        Route("PUT", project, 200, default, {"default_type": {"volume_type": c.STR}}, (3, 62)),
        Route("DELETE", project, 204, NOTHING, since=(3, 62)),
    ]


def operators() -> list[Route]:
    quotas = "/os-quota-sets/{project}"
    pool = {"name": c.STR, "capabilities": May(Map(c.ANY))}
    filters = {"resource": c.STR, "filters": [c.STR]}
    return [
        Route("GET", "/limits", 200, {"limits": {"rate": [c.ANY], "absolute": c.LIMITS}}),
        Route("GET", quotas, 200, {"quota_set": quota_set}),
        Route("GET", f"{quotas}/defaults", 200, {"quota_set": quota_set}),
        Route("PUT", quotas, 200, {"quota_set": quota_set}, {"quota_set": Map(c.ANY)}),
        Route("DELETE", quotas, 200, NOTHING),
        Route("GET", "/os-quota-class-sets/{name}", 200, {"quota_class_set": quota_set}),
        Route(
            "PUT", "/os-quota-class-sets/{name}", 200, {"quota_class_set": quota_set}, {"quota_class_set": Map(c.ANY)}
        ),
        Route("GET", "/os-availability-zone", 200, {"availabilityZoneInfo": [c.ZONE]}),
        Route("GET", "/extensions", 200, {"extensions": [c.EXTENSION]}),
        Route("GET", "/os-services", 200, {"services": [c.SERVICE]}),
        Route("GET", "/os-hosts", 200, {"hosts": [c.HOST]}),
        Route("GET", "/os-hosts/{name}", 200, {"host": [{"resource": c.RESOURCE}]}),
        Route("GET", "/scheduler-stats/get_pools", 200, {"pools": [pool]}),
        Route("GET", "/capabilities/{name}", 200, c.CAPABILITIES),
        Route("GET", "/messages", 200, of_list("messages", c.MESSAGE), since=(3, 3)),
        Route("GET", "/messages/{id}", 200, {"message": c.MESSAGE}, since=(3, 3)),
        Route("DELETE", "/messages/{id}", 204, NOTHING, since=(3, 3)),
        Route("GET", "/resource_filters", 200, {"resource_filters": [filters]}, since=(3, 33)),
    ]


def empty() -> list[Route]:
    lists: dict[str, tuple[str, c.Version]] = {
        "backups": ("backups", (3, 0)),
        "consistencygroups": ("consistencygroups", (3, 0)),
        "cgsnapshots": ("cgsnapshots", (3, 0)),
        "groups": ("groups", (3, 13)),
        "group_snapshots": ("group_snapshots", (3, 14)),
        "group_types": ("group_types", (3, 11)),
        "qos-specs": ("qos_specs", (3, 0)),
        "clusters": ("clusters", (3, 7)),
    }
    never: c.Check = lambda value: False  # noqa: E731 - nothing is ever in these lists
    return [
        Route("GET", f"/{path}{rest}", 200, {key: [never]}, since=since)
        for path, (key, since) in lists.items()
        for rest in ("", "/detail")
        if not (rest and path in ("group_types", "qos-specs"))
    ]


ROUTES = [
    *volumes(),
    *metadata("volumes"),
    *metadata("snapshots"),
    *snapshots(),
    *attachments(),
    *transfers("/os-volume-transfer", (3, 0)),
    *transfers("/volume-transfers", (3, 55)),
    *types(),
    *operators(),
    *empty(),
]
