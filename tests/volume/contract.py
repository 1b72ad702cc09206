"""What Cinder's API reference says of each route's request and answer, at each microversion; and the check of it.

Written from the reference (Block Storage API v3, its samples per microversion), not from our code. `tests.volume.serve`
puts the check around the whole service, so that every test of it, also by unmodified clients, goes through."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Version = tuple[int, int]
Check = Callable[[Any], bool]


@dataclass(frozen=True)
class At:
    """A field that exists from a microversion on."""

    since: Version
    schema: Any


@dataclass(frozen=True)
class Admin:
    """Fields that administrators see, all of them or none."""

    fields: dict[str, Any]


@dataclass(frozen=True)
class May:
    """A field that may be missing."""

    schema: Any


@dataclass(frozen=True)
class Map:
    """An object with any keys, whose values are all of one kind."""

    value: Any


def kind(*types: type) -> Check:
    return lambda value: isinstance(value, types) and not (isinstance(value, bool) and bool not in types)


def nullable(check: Check) -> Check:
    return lambda value: value is None or check(value)


def like(pattern: str) -> Check:
    return lambda value: isinstance(value, str) and re.fullmatch(pattern, value) is not None


STR, INT, BOOL, ANY = kind(str), kind(int), kind(bool), kind(str, int, bool, list, dict, float)
TEXT, NUMBER = nullable(STR), kind(int, float)
NULL: Check = lambda value: value is None  # noqa: E731
UUID = like(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
MAYBE_UUID = nullable(UUID)
TIME = like(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}")
MAYBE_TIME = nullable(TIME)
PROJECT = like(r"[0-9a-f]{32}|[0-9a-f-]{36}")
LINK = {"rel": like("self|bookmark|next"), "href": like("https?://.+")}

VOLUME_SUMMARY = {"id": UUID, "name": TEXT, "links": [LINK]}
ATTACHED = {
    "id": UUID,
    "attachment_id": UUID,
    "volume_id": UUID,
    "server_id": MAYBE_UUID,
    "host_name": TEXT,
    "device": TEXT,
    "attached_at": MAYBE_TIME,
}
NEW_VOLUME = VOLUME_SUMMARY | {
    "attachments": [ATTACHED],
    "availability_zone": STR,
    "bootable": like("true|false"),
    "consistencygroup_id": NULL,
    "created_at": TIME,
    "description": TEXT,
    "encrypted": BOOL,
    "metadata": Map(STR),
    "multiattach": BOOL,
    "replication_status": TEXT,
    "size": INT,
    "snapshot_id": MAYBE_UUID,
    "source_volid": MAYBE_UUID,
    "status": STR,
    "updated_at": MAYBE_TIME,
    "user_id": STR,
    "volume_type": STR,
    "group_id": At((3, 13), MAYBE_UUID),
    "service_uuid": At((3, 48), MAYBE_UUID),
    "shared_targets": At((3, 48), nullable(BOOL)),
    "volume_type_id": At((3, 63), UUID),
    "consumes_quota": At((3, 65), BOOL),
    "admin": Admin({"migration_status": TEXT, "provider_id": At((3, 21), TEXT), "cluster_name": At((3, 61), TEXT)}),
}
VOLUME = NEW_VOLUME | {
    "os-vol-tenant-attr:tenant_id": PROJECT,
    "volume_image_metadata": May(Map(STR)),
    "place": Admin(
        {
            "os-vol-host-attr:host": TEXT,
            "os-vol-mig-status-attr:migstat": TEXT,
            "os-vol-mig-status-attr:name_id": TEXT,
        }
    ),
}
SNAPSHOT_SUMMARY = {
    "id": UUID,
    "name": TEXT,
    "description": TEXT,
    "status": STR,
    "size": INT,
    "volume_id": UUID,
    "created_at": TIME,
    "updated_at": MAYBE_TIME,
    "metadata": Map(STR),
}
NEW_SNAPSHOT = SNAPSHOT_SUMMARY | {
    "group_snapshot_id": At((3, 14), MAYBE_UUID),
    "user_id": At((3, 41), STR),
    "consumes_quota": At((3, 65), BOOL),
}
SNAPSHOT = NEW_SNAPSHOT | {
    "os-extended-snapshot-attributes:progress": like(r"\d{1,3}%"),
    "os-extended-snapshot-attributes:project_id": PROJECT,
}
ATTACHMENT_SUMMARY = {"id": UUID, "status": STR, "instance": MAYBE_UUID, "volume_id": UUID}
ATTACHMENT = ATTACHMENT_SUMMARY | {
    "attached_at": like(r"|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}"),
    "detached_at": STR,
    "attach_mode": like("rw|ro"),
    "connection_info": kind(dict),
}
TRANSFER_SUMMARY = {"id": UUID, "volume_id": UUID, "name": TEXT, "links": [LINK]}
TRANSFER = TRANSFER_SUMMARY | {
    "created_at": TIME,
    "no_snapshots": At((3, 55), BOOL),
    "source_project_id": At((3, 57), PROJECT),
    "destination_project_id": At((3, 57), nullable(PROJECT)),
    "accepted": At((3, 57), BOOL),
}
TYPE_CHANGED = {
    "id": UUID,
    "name": STR,
    "description": TEXT,
    "is_public": BOOL,
    "extra_specs": Map(STR),
}
TYPE_MADE = TYPE_CHANGED | {"os-volume-type-access:is_public": BOOL}
TYPE = TYPE_MADE | {"admin": Admin({"qos_specs_id": MAYBE_UUID})}
DEFAULT_TYPE = {"project_id": STR, "volume_type_id": UUID}
LIMITS = dict.fromkeys(
    (
        *("maxTotalVolumes", "maxTotalVolumeGigabytes", "maxTotalSnapshots", "maxTotalBackups"),
        *("maxTotalBackupGigabytes", "totalVolumesUsed", "totalGigabytesUsed", "totalSnapshotsUsed"),
        *("totalBackupsUsed", "totalBackupGigabytesUsed"),
    ),
    INT,
)
MESSAGE = {
    "id": UUID,
    "event_id": STR,
    "user_message": STR,
    "message_level": STR,
    "created_at": TIME,
    "guaranteed_until": MAYBE_TIME,
    "request_id": TEXT,
    "links": [LINK],
    "resource_type": May(STR),
    "resource_uuid": May(UUID),
}
SERVICE = {
    "binary": STR,
    "host": STR,
    "zone": STR,
    "status": STR,
    "state": like("up|down"),
    "updated_at": MAYBE_TIME,
    "disabled_reason": TEXT,
    "replication_status": TEXT,
    "active_backend_id": TEXT,
    "frozen": BOOL,
    "cluster": At((3, 7), TEXT),
    "backend_state": At((3, 49), like("up|down")),
}
HOST = {
    "host_name": STR,
    "service": STR,
    "zone": STR,
    "service-status": STR,
    "service-state": STR,
    "last-update": MAYBE_TIME,
}
RESOURCE = dict.fromkeys(
    ("host", "project", "volume_count", "total_volume_gb", "snapshot_count", "total_snapshot_gb"), STR
)
UPLOADED = {
    "id": UUID,
    "updated_at": MAYBE_TIME,
    "status": STR,
    "display_description": TEXT,
    "size": INT,
    "volume_type": TEXT,
    "image_id": UUID,
    "container_format": STR,
    "disk_format": STR,
    "image_name": STR,
    "protected": May(BOOL),
    "visibility": May(STR),
}
CAPABILITIES = dict.fromkeys(
    (
        *("namespace", "vendor_name", "volume_backend_name", "pool_name", "driver_version", "storage_protocol"),
        *("display_name", "description", "visibility", "replication_targets", "properties"),
    ),
    ANY,
)
ZONE = {"zoneName": STR, "zoneState": {"available": BOOL}}
EXTENSION = dict.fromkeys(("alias", "name", "description", "updated", "links"), ANY)
KINDS = {
    400: "badRequest",
    401: "unauthorized",
    403: "forbidden",
    404: "itemNotFound",
    405: "badMethod",
    406: "notAcceptable",
    409: "conflictingRequest",
    413: "overLimit",
    415: "badMediaType",
    501: "notImplemented",
    503: "serviceUnavailable",
}


def of_list(name: str, item: Any, *, count: bool = False, links: str = "") -> dict[str, Any]:
    found = {name: [item], links or f"{name}_links": May([LINK])}
    return found | ({"count": At((3, 45), May(INT))} if count else {})


def problems(schema: Any, value: Any, version: Version, place: str = "") -> list[str]:
    """What is wrong with `value`: a field too many, one that is missing, a value of the wrong type."""
    if callable(schema):
        return [] if schema(value) else [f"{place}: unexpected value {value!r:.80}"]
    if isinstance(schema, list):
        if not isinstance(value, list):
            return [f"{place}: a list is expected"]
        return [p for n, item in enumerate(value) for p in problems(schema[0], item, version, f"{place}[{n}]")]
    if not isinstance(value, dict):
        return [f"{place}: an object is expected"]
    if isinstance(schema, Map):
        return [p for k, item in value.items() for p in problems(schema.value, item, version, f"{place}/{k}")]
    needed, allowed, found = _fields(schema, value, version)
    wrong = [f"{place}/{name}: missing" for name in needed - value.keys()]
    wrong += [f"{place}/{name}: a field too many" for name in value.keys() - allowed]
    for name, inner in found.items():
        if name in value:
            wrong += problems(inner, value[name], version, f"{place}/{name}")
    return wrong


def _fields(
    schema: dict[str, Any], value: dict[str, Any], version: Version
) -> tuple[set[str], set[str], dict[str, Any]]:
    """(names that must be there, names that may be there, their schemas) at this version."""
    flat: dict[str, Any] = {}
    groups: list[set[str]] = []
    for name, inner in schema.items():
        if isinstance(inner, Admin):
            members = {n: s for n, s in inner.fields.items() if not isinstance(s, At) or version >= s.since}
            groups.append(set(members))
            flat |= members
        else:
            flat[name] = inner
    needed, found = set(), {}
    for name, inner in flat.items():
        if isinstance(inner, At):
            if version < inner.since:
                continue
            inner = inner.schema
        optional = isinstance(inner, May)
        found[name] = inner.schema if isinstance(inner, May) else inner
        in_group = next((group for group in groups if name in group), None)
        if not optional and (in_group is None or in_group & value.keys()):
            needed.add(name)
    return needed, set(found), found


def error_problems(status: int, body: Any) -> list[str]:
    if not isinstance(body, dict) or list(body) != [KINDS.get(status, "computeFault")]:
        return [f"{status}: not Cinder's kind of error: {body!r:.120}"]
    fault = next(iter(body.values()))
    extra = {"retryAfter": STR} if status == 413 else {}
    return problems({"code": INT, "message": STR} | extra, fault, (3, 0), str(status))
